//! What is in flight on a network, and the guards that take it off again on every way out.

use std::sync::Arc;

use policy::ledger::Entry;
use tokio::sync::Notify;

use super::Network;
use crate::clock;
use crate::spend::Charge;

/// One dispatch in flight; dropping it takes it off the ledger.
#[derive(Debug)]
pub(crate) struct Flight {
    network: Arc<Network>,
    id: u64,
    /// Whether it is in the ledger of those that take no slot.
    aside: bool,
    sent_s: f64,
    landed: bool,
    /// What it costs, if that is ours to pay.
    charge: Option<Charge>,
}

impl Flight {
    pub(super) fn depart(network: Arc<Network>, predicted_s: Option<f64>) -> Self {
        let sent_s = clock::now_s();
        let entry = Entry { started_s: sent_s, predicted_s: predicted_s.unwrap_or(f64::NAN) };
        let id = {
            let mut state = network.state.lock();
            state.forecast.began(sent_s);
            state.ledger.enter(entry)
        };
        Self { network, id, aside: false, sent_s, landed: false, charge: None }
    }

    pub(super) fn depart_aside(network: Arc<Network>) -> Self {
        let sent_s = clock::now_s();
        let id = network.state.lock().aside.enter(Entry { started_s: sent_s, predicted_s: f64::NAN });
        Self { network, id, aside: true, sent_s, landed: false, charge: None }
    }

    /// How long it is expected to run: as predicted, or as is usual there.
    pub(crate) fn runs_s(&self, predicted_s: Option<f64>) -> f64 {
        predicted_s.unwrap_or_else(|| self.network.state.lock().ledger.typical_s())
    }

    /// It costs this.
    pub(crate) fn charged(mut self, charge: Charge) -> Self {
        self.charge = Some(charge);
        self
    }

    /// So many bytes have crossed for it, both ways together.
    pub(crate) fn carried(&mut self, bytes: u64) {
        if let Some(charge) = &mut self.charge {
            charge.carried(bytes);
        }
    }

    /// Its slot costs so many times what its bill says.
    pub(crate) fn costs_times(&mut self, times: f64) {
        if let Some(charge) = &mut self.charge {
            charge.times(times);
        }
    }

    /// When it was sent.
    pub(crate) fn sent_s(&self) -> f64 {
        self.sent_s
    }

    /// What ends it early, without it.
    pub(crate) fn ticket(&self) -> Ticket {
        Ticket { network: Arc::clone(&self.network), id: self.id, aside: self.aside }
    }

    /// It ended by itself, well. Says how many seconds it ran, its waiting for a slot left out.
    pub(crate) fn land(mut self) -> f64 {
        self.landed = true;
        let now_s = clock::now_s();
        let mut state = self.network.state.lock();
        let began_s = state.leave(self.aside, self.id, now_s).unwrap_or(self.sent_s);
        let ran_s = (now_s - began_s).max(0.0);
        state.ledger(self.aside).ran(ran_s);
        drop(state);
        if let Some(charge) = self.charge.take() {
            charge.over(ran_s);
        }
        ran_s
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if !self.landed {
            let now_s = clock::now_s();
            let began_s = self.network.state.lock().leave(self.aside, self.id, now_s).unwrap_or(self.sent_s);
            if let Some(charge) = self.charge.take() {
                charge.over((now_s - began_s).max(0.0));
            }
        }
    }
}

/// A flight's place in the ledger, which may be given up while the flight is still held.
#[derive(Debug)]
pub(crate) struct Ticket {
    network: Arc<Network>,
    id: u64,
    aside: bool,
}

impl Ticket {
    /// Takes the flight off the ledger; landing it, or dropping it, then changes nothing there.
    pub(super) fn give_up(self) {
        self.network.state.lock().leave(self.aside, self.id, clock::now_s());
    }
}

/// The right to run one shadow on a network; dropping it frees the shadow's place.
#[derive(Debug)]
pub(crate) struct ShadowPermit {
    network: Arc<Network>,
    shed: Arc<Notify>,
}

impl ShadowPermit {
    pub(super) fn new(network: Arc<Network>, shed: Arc<Notify>) -> Self {
        Self { network, shed }
    }

    /// Told once when the shadow must go, for live work needs its room.
    pub(crate) fn shed(&self) -> Arc<Notify> {
        Arc::clone(&self.shed)
    }
}

impl Drop for ShadowPermit {
    fn drop(&mut self) {
        let mut state = self.network.state.lock();
        state.sheddable.retain(|shed| !Arc::ptr_eq(shed, &self.shed));
        state.budget.ended();
    }
}
