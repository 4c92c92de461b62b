//! Both sides of adoption, [`crate::fence`] and [`crate::lease`], put together: only tests are here, for what they say to each
//! other is the caller's to carry.

mod tests;
