//! What this sidecar spends on each network, and on each job: kept while dispatches run, charged when they end, and written
//! down so that a cap outlives the process.
//!
//! Whatever holds a place in a network's ledger has a [`Charge`]: it commits what the dispatch is expected to cost, and charges
//! what it has come to when it goes, whatever ends it. Leads, shadows and failovers are charged alike; bytes that were asked to
//! be warmed are charged when they are there. What runs here for another sidecar is on that one's account: each counts what it
//! has sent itself, and so do its caps.
//!
//! What a cap means for a job is the policy's word.

mod journal;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;
use policy::spend::{Bill, Spend, Spent};
use policy::{MAX_NETWORKS, NetworkId, SpendCaps};

use crate::clock;
use crate::metrics::Metrics;

use journal::Journal;

/// How often what was spent is written down, if anything was.
const WRITE_EVERY: Duration = Duration::from_millis(100);

/// The accounts of all networks, by their places.
#[derive(Debug)]
pub(crate) struct Purses {
    desk: Arc<Desk>,
    thread: Option<JoinHandle<()>>,
}

/// What the accounts share with the thread that writes them down.
#[derive(Debug)]
struct Desk {
    purses: [Purse; MAX_NETWORKS],
    metrics: Arc<Metrics>,
    journal: Mutex<Option<Journal>>,
    /// What was spent before on networks that are not here now: one may be added.
    unclaimed: Mutex<Vec<(String, u64, f64)>>,
    stop: AtomicBool,
}

/// One network's account.
#[derive(Debug)]
struct Purse {
    /// Whose it is, once a network has its place.
    name: OnceLock<String>,
    account: Mutex<Account>,
}

#[derive(Debug)]
struct Account {
    spend: Spend,
    /// What is not written down yet, by minute. No older than the account itself, so no more than a day's minutes.
    unsaved: BTreeMap<u64, f64>,
}

/// What is kept of it, for people.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    /// The file, if there is to be one.
    pub(crate) file: Option<String>,
    /// What stands against it now.
    pub(crate) failing: Option<String>,
    /// Lines that made no sense when it was read.
    pub(crate) unreadable_lines: u64,
}

impl Purses {
    /// Takes up what was spent before, if it was written down, and begins to write down what will be. Nothing that goes wrong
    /// with that keeps the sidecar from running: it is said, counted, and tried again.
    pub(crate) fn start(config: &config::Config, metrics: &Arc<Metrics>) -> Self {
        let purse = |place: usize| Purse {
            name: config
                .networks
                .get(place)
                .map(|network| network.name.clone())
                .map(OnceLock::from)
                .unwrap_or_default(),
            account: Mutex::new(Account { spend: Spend::new(SpendCaps::NONE), unsaved: BTreeMap::new() }),
        };
        let journal = config.state.directory.as_deref().map(Journal::at);
        let desk = Arc::new(Desk {
            purses: std::array::from_fn(purse),
            metrics: Arc::clone(metrics),
            journal: Mutex::new(journal),
            unclaimed: Mutex::default(),
            stop: AtomicBool::new(false),
        });
        desk.read();
        let work = {
            let desk = Arc::clone(&desk);
            move || desk.work()
        };
        let thread = config.state.directory.as_ref().and_then(|_| {
            let spawned = std::thread::Builder::new().name("spend".to_owned()).spawn(work);
            spawned.inspect_err(|error| tracing::error!(%error, "what is spent cannot be written down")).ok()
        });
        Self { desk, thread }
    }

    /// The networks at these places have these names. What was spent on a new one before counts.
    pub(crate) fn name_networks(&self, names: &[String]) {
        let new: Vec<_> = self.desk.purses.iter().zip(names).filter(|(purse, _)| purse.name.get().is_none()).collect();
        if new.is_empty() {
            return;
        }
        for (purse, name) in new {
            purse.name.get_or_init(|| name.clone());
        }
        let unclaimed = std::mem::take(&mut *self.desk.unclaimed.lock());
        self.desk.restore(unclaimed);
    }

    /// What may still be spent on a network; `None` without a cap.
    pub(crate) fn left(&self, on: NetworkId, caps: SpendCaps) -> Option<f64> {
        if !caps.any() {
            return None;
        }
        let mut account = self.desk.purses[on.index()].account.lock();
        account.spend.cap(caps);
        account.spend.left(clock::unix_s())
    }

    /// What was spent on it.
    pub(crate) fn spent(&self, on: NetworkId) -> Spent {
        self.desk.purses[on.index()].account.lock().spend.spent(clock::unix_s())
    }

    /// A dispatch is sent there, at this bill; `tab` is its job's.
    pub(crate) fn charge(&self, on: NetworkId, bill: Bill, tab: &Arc<Tab>) -> Charge {
        let sent_unix_s = clock::unix_s();
        self.desk.purses[on.index()].account.lock().spend.commit(&bill, sent_unix_s);
        tab.add(bill.expected);
        let (desk, tab) = (Arc::clone(&self.desk), Arc::clone(tab));
        Charge { desk, tab, on, bill, sent_unix_s, bytes: 0, times: 1.0 }
    }

    /// Bytes have crossed that no dispatch carried.
    pub(crate) fn pay(&self, on: NetworkId, money: f64, tab: &Tab) {
        if money > 0.0 {
            self.desk.purses[on.index()].paid(|spend| spend.spend(money, clock::unix_s()), money);
            self.desk.metrics.spent(on, money);
            tab.add(money);
        }
    }

    /// What is kept of it.
    pub(crate) fn kept(&self) -> Kept {
        self.desk.journal.lock().as_ref().map(Journal::kept).unwrap_or_default()
    }
}

impl Drop for Purses {
    fn drop(&mut self) {
        self.desk.stop.store(true, Ordering::Release);
        let Some(thread) = self.thread.take() else { return };
        thread.thread().unpark();
        if thread.join().is_err() {
            tracing::error!("the thread that writes down what is spent ended in a panic");
        }
    }
}

impl Purse {
    fn paid(&self, change: impl FnOnce(&mut Spend) -> u64, money: f64) {
        let mut account = self.account.lock();
        let minute = change(&mut account.spend);
        *account.unsaved.entry(minute).or_default() += money;
    }
}

impl Desk {
    /// Takes up what was written down before.
    fn read(&self) {
        let mut journal = self.journal.lock();
        let Some(journal) = journal.as_mut() else { return };
        self.restore(journal.read());
    }

    /// What the thread does until it is told to stop, and once more after that.
    fn work(&self) {
        loop {
            let stop = self.stop.load(Ordering::Acquire);
            self.write();
            if stop {
                return;
            }
            std::thread::park_timeout(WRITE_EVERY);
        }
    }

    fn write(&self) {
        let mut journal = self.journal.lock();
        let Some(journal) = journal.as_mut() else { return };
        if !journal.is_ours() {
            let Some(since) = journal.take_over(&self.metrics) else { return self.keep_waiting() };
            self.restore(since);
        }
        if journal.wants_renewal() {
            let (whole, unsaved): (Vec<_>, Vec<_>) = self.purses.iter().filter_map(Purse::take_whole).unzip();
            if !journal.renew(&whole, &self.metrics) {
                self.give_back(unsaved);
            }
        }
        let unsaved: Vec<_> = self.purses.iter().filter_map(Purse::take_unsaved).collect();
        if !journal.append(&unsaved, &self.metrics) {
            self.give_back(unsaved);
        }
        self.keep_waiting();
    }

    fn purse(&self, name: &str) -> Option<&Purse> {
        self.purses.iter().find(|purse| purse.name.get().is_some_and(|known| known == name))
    }

    fn give_back(&self, parts: Vec<Part>) {
        for part in parts {
            if let Some(purse) = self.purse(&part.name) {
                let mut account = purse.account.lock();
                part.minutes.into_iter().for_each(|(at, money)| *account.unsaved.entry(at).or_default() += money);
            }
        }
    }

    fn restore(&self, spent: Vec<(String, u64, f64)>) {
        let now_s = clock::unix_s();
        for (name, minute, money) in spent {
            match self.purse(&name) {
                Some(purse) => purse.account.lock().spend.restore(minute, money, now_s),
                None => self.unclaimed.lock().push((name, minute, money)),
            }
        }
    }

    /// What is not written down waits, and what has become too old to count is dropped.
    fn keep_waiting(&self) {
        let newest = policy::spend::minute(clock::unix_s());
        for purse in &self.purses {
            purse.account.lock().unsaved.retain(|minute, _| newest.saturating_sub(*minute) <= 24 * 60);
        }
    }
}

/// What is to be written down of one network.
#[derive(Debug)]
struct Part {
    name: String,
    minutes: Vec<(u64, f64)>,
    /// What is in flight: it counts as spent if the process does not live to say what it came to.
    open: f64,
}

impl Purse {
    /// All of it, and what of that waits to be written.
    fn take_whole(&self) -> Option<(Part, Part)> {
        let name = self.name.get()?;
        let mut account = self.account.lock();
        let part = |minutes, open| Part { name: name.clone(), minutes, open };
        let open = account.spend.spent(clock::unix_s()).committed;
        let unsaved = std::mem::take(&mut account.unsaved).into_iter().collect();
        let whole = part(account.spend.minutes().collect(), open);
        Some((whole, part(unsaved, open)))
    }

    fn take_unsaved(&self) -> Option<Part> {
        let name = self.name.get()?.clone();
        let mut account = self.account.lock();
        let open = account.spend.spent(clock::unix_s()).committed;
        let minutes = std::mem::take(&mut account.unsaved).into_iter().collect();
        Some(Part { name, minutes, open })
    }
}

/// What one job costs: what it was charged, and what its dispatches that still run are expected to be.
#[derive(Debug, Default)]
pub(crate) struct Tab(Mutex<f64>);

impl Tab {
    fn add(&self, money: f64) {
        *self.0.lock() += money;
    }

    /// All of it.
    pub(crate) fn total(&self) -> f64 {
        self.0.lock().max(0.0)
    }
}

/// What a dispatch will be charged. Dropped without a word, it held no slot.
#[derive(Debug)]
pub(crate) struct Charge {
    desk: Arc<Desk>,
    tab: Arc<Tab>,
    on: NetworkId,
    bill: Bill,
    sent_unix_s: f64,
    bytes: u64,
    times: f64,
}

impl Charge {
    /// So many bytes have crossed for it, both ways together.
    pub(crate) fn carried(&mut self, bytes: u64) {
        self.bytes = bytes;
    }

    /// It held this many times of what its bill says of a second.
    pub(crate) fn times(&mut self, times: f64) {
        self.times = times;
    }

    /// It is over, and has held its slot for so long.
    pub(crate) fn over(mut self, held_s: f64) {
        self.settle(held_s);
    }

    fn settle(&mut self, held_s: f64) {
        let bill = std::mem::take(&mut self.bill);
        let money = bill.after(held_s * self.times, self.bytes as f64);
        let sent = self.sent_unix_s;
        self.desk.purses[self.on.index()].paid(|spend| spend.settle(&bill, sent, money, clock::unix_s()), money);
        self.desk.metrics.spent(self.on, money);
        self.tab.add(money - bill.expected);
        self.sent_unix_s = f64::NAN;
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        // Once.
        if !self.sent_unix_s.is_nan() {
            self.settle(0.0);
        }
    }
}

#[cfg(test)]
mod tests;
