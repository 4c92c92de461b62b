//! The small types that keep indices, sets and urgencies from being mixed up.
//!
//! Networks are few, so everything kept per network is a fixed array: a decision neither allocates nor hashes.

use std::ops::{Index, IndexMut};

/// The most networks one configuration may name.
pub const MAX_NETWORKS: usize = 8;

/// A network, by its place in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NetworkId(u8);

impl NetworkId {
    /// The network at `index`, if there can be one.
    #[must_use]
    pub const fn new(index: usize) -> Option<Self> {
        if index < MAX_NETWORKS { Some(Self(index as u8)) } else { None }
    }

    /// Its place in the configuration, below [`MAX_NETWORKS`].
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// A set of networks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NetworkSet(u8);

impl NetworkSet {
    /// No network.
    pub const EMPTY: Self = Self(0);
    /// Every network there can be.
    pub const ALL: Self = Self(u8::MAX);

    /// The set of just this network.
    #[must_use]
    pub const fn only(network: NetworkId) -> Self {
        Self(1 << network.0)
    }

    /// This set and `network`.
    #[must_use]
    pub const fn with(self, network: NetworkId) -> Self {
        Self(self.0 | 1 << network.0)
    }

    /// This set without `network`.
    #[must_use]
    pub const fn without(self, network: NetworkId) -> Self {
        Self(self.0 & !(1 << network.0))
    }

    /// The networks in both sets.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether `network` is in the set.
    #[must_use]
    pub const fn contains(self, network: NetworkId) -> bool {
        self.0 & (1 << network.0) != 0
    }

    /// Whether the set has no network.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// How many networks it has.
    #[must_use]
    pub const fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// Its networks, in the order of the configuration.
    pub fn iter(self) -> impl Iterator<Item = NetworkId> {
        (0..MAX_NETWORKS).filter_map(NetworkId::new).filter(move |n| self.contains(*n))
    }
}

impl FromIterator<NetworkId> for NetworkSet {
    fn from_iter<I: IntoIterator<Item = NetworkId>>(networks: I) -> Self {
        networks.into_iter().fold(Self::EMPTY, Self::with)
    }
}

/// One value for each network.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PerNetwork<T>(pub [T; MAX_NETWORKS]);

impl<T> Index<NetworkId> for PerNetwork<T> {
    type Output = T;

    fn index(&self, network: NetworkId) -> &T {
        &self.0[network.index()]
    }
}

impl<T> IndexMut<NetworkId> for PerNetwork<T> {
    fn index_mut(&mut self, network: NetworkId) -> &mut T {
        &mut self.0[network.index()]
    }
}

/// How soon the answer is wanted, as RFC 9218 counts it: 0 is the most urgent, 7 the least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Urgency(u8);

impl Urgency {
    /// What a request that does not say is taken to mean (RFC 9218 §4.1).
    pub const DEFAULT: Self = Self(3);
    /// The number of levels.
    pub const LEVELS: usize = 8;

    /// The urgency `u`, if it is one of 0..=7.
    #[must_use]
    pub const fn new(u: u8) -> Option<Self> {
        if u < Self::LEVELS as u8 { Some(Self(u)) } else { None }
    }

    /// The number of the level, 0..=7.
    #[must_use]
    pub const fn level(self) -> u8 {
        self.0
    }

    /// This urgency, but no more urgent than `most` and no less than `least`.
    #[must_use]
    pub fn clamp_between(self, most: Self, least: Self) -> Self {
        Self(self.0.clamp(most.0.min(least.0), least.0.max(most.0)))
    }
}

impl Default for Urgency {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// A kind of job, by its place in the caller's register of classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClassId(pub u16);
