//! Gates: deterministic rules outside the model that make a network ineligible.
