//! What happens whoever decides: slots, queues, transfers, runs and their ends, in virtual time.
//!
//! A run is one dispatch of a job to a network. A lead queues for a slot, first come, first served; a shadow runs beside the
//! slots, at the share of full speed it is granted, and takes a slot once it is adopted. Nothing here draws or decides.

mod known;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use super::lots::Lot;
use super::wan::{Cache, Freight, Wan};
use super::world::World;

/// A dispatch, by its place among all.
pub(super) type RunId = usize;

/// What whoever decides hears of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Event {
    /// A job comes.
    Arrives(usize),
    /// Somebody wanted to look at a job again.
    Look(usize),
    /// A lead's answer is here.
    Answered(RunId),
    /// A shadow has done all its work; its answer waits.
    Finished(RunId),
    /// The networks say how many jobs they have.
    Report,
}

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// So many things it needs have yet to arrive.
    Moving(u8),
    /// It waits for a slot.
    Queued,
    /// It runs.
    Running,
    /// Its work is done; its answer is on its way or waits to be fetched.
    Done,
    /// It is over, one way or another.
    Over,
}

/// One dispatch of a job.
#[derive(Clone, Debug)]
pub(super) struct Run {
    pub(super) lot: usize,
    pub(super) network: usize,
    /// The share of full speed it is granted if it is a shadow; `None` of a lead.
    pub(super) granted: Option<f64>,
    pub(super) state: State,
    pub(super) sent_s: f64,
    /// When all it needs was there.
    pub(super) supplied_s: f64,
    /// When it last began to run.
    pub(super) since_s: f64,
    /// What all of it takes at full speed; known once it runs.
    pub(super) takes_s: f64,
    /// The share of its work that was done when it last began to run.
    done: f64,
    end_s: f64,
    /// Counts its beginnings, so that the end of an earlier one is known to be stale.
    turn: u32,
}

/// What is scheduled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Arrives(usize),
    Look(usize),
    Reached(RunId),
    Ends(RunId, u32),
    Answered(RunId),
    Wan(u64),
    Report,
}

#[derive(Debug)]
struct Network {
    slots: usize,
    running: Vec<RunId>,
    queue: VecDeque<RunId>,
    /// When each free slot was left, the latest last.
    free_since_s: Vec<f64>,
    cache: Cache,
}

/// Everything that happens whoever decides.
#[derive(Debug)]
pub(super) struct Ground<'a> {
    pub(super) world: &'a World,
    pub(super) lots: &'a [Lot],
    pub(super) runs: Vec<Run>,
    networks: Vec<Network>,
    wan: Wan,
    due: BinaryHeap<Reverse<(u64, u64, Due)>>,
    number: u64,
    pub(super) now_s: f64,
    /// Jobs that are not answered yet.
    pub(super) open: usize,
    /// What each job has cost so far but its time.
    pub(super) money: Vec<f64>,
    /// Slot seconds of shadows, as granted.
    pub(super) shadow_s: f64,
}

impl<'a> Ground<'a> {
    pub(super) fn new(world: &'a World, lots: &'a [Lot]) -> Self {
        let cache_bytes = world.wan.cache_gib * (1_u64 << 30) as f64;
        let network = |place: &super::world::Place| Network {
            slots: place.slots as usize,
            running: Vec::new(),
            queue: VecDeque::new(),
            free_since_s: vec![f64::NEG_INFINITY; place.slots as usize],
            cache: Cache::new(cache_bytes),
        };
        let mut ground = Self {
            world,
            lots,
            runs: Vec::with_capacity(lots.len() + lots.len() / 8),
            networks: world.networks.iter().map(network).collect(),
            wan: Wan::new(world),
            due: BinaryHeap::with_capacity(2 * lots.len()),
            number: 0,
            now_s: 0.0,
            open: lots.len(),
            money: vec![0.0; lots.len()],
            shadow_s: 0.0,
        };
        for (i, lot) in lots.iter().enumerate() {
            ground.at(lot.arrived_s, Due::Arrives(i));
        }
        if world.sidecars.count > 1 {
            ground.at(0.0, Due::Report);
        }
        ground
    }

    /// The next thing that whoever decides hears of.
    pub(super) fn next(&mut self) -> Option<Event> {
        while let Some(Reverse((at_ns, _, due))) = self.due.pop() {
            self.now_s = at_ns as f64 / 1e9;
            match due {
                Due::Arrives(lot) => return Some(Event::Arrives(lot)),
                Due::Look(lot) => return Some(Event::Look(lot)),
                Due::Report => {
                    if self.open > 0 {
                        self.at(self.now_s + self.world.sidecars.report_every_s, Due::Report);
                        return Some(Event::Report);
                    }
                }
                Due::Reached(run) => self.part_here(run),
                Due::Answered(run) => {
                    if self.runs[run].state == State::Done {
                        self.runs[run].state = State::Over;
                        self.open -= 1;
                        return Some(Event::Answered(run));
                    }
                }
                Due::Ends(run, turn) => {
                    if let Some(event) = self.ends(run, turn) {
                        return Some(event);
                    }
                }
                Due::Wan(turn) if turn == self.wan.turn => self.unload(),
                Due::Wan(_) => {}
            }
        }
        None
    }

    /// Looks at a job again at `at_s`.
    pub(super) fn look_at(&mut self, lot: usize, at_s: f64) {
        self.at(at_s, Due::Look(lot));
    }

    /// Sends a job to a network; as a shadow, with a share of full speed.
    pub(super) fn send(&mut self, lot: usize, network: usize, granted: Option<f64>) -> RunId {
        let run = self.runs.len();
        self.runs.push(Run {
            lot,
            network,
            granted,
            state: State::Moving(1),
            sent_s: self.now_s,
            supplied_s: f64::NAN,
            since_s: f64::NAN,
            takes_s: f64::NAN,
            done: 0.0,
            end_s: f64::INFINITY,
            turn: 0,
        });
        if network == 0 {
            self.part_here(run);
            return run;
        }
        let mut parts = 1;
        let lot = &self.lots[lot];
        let body = lot.job.body_bytes.unwrap_or(0) as f64;
        if body > 0.0 {
            parts += 1;
            self.wan.start(Freight::Body(run), body, self.now_s);
        }
        if let Some(data) = lot.data {
            let cache = &mut self.networks[network].cache;
            cache.touch(data.key);
            if !cache.holds(data.key) {
                parts += 1;
                let waiting = cache.coming.entry(data.key).or_default();
                waiting.push(run);
                if waiting.len() == 1 {
                    self.wan.start(Freight::Data(network, data.key), data.bytes as f64, self.now_s);
                }
            }
        }
        let crossed = self.to_cross(lot, network);
        self.money[self.runs[run].lot] += self.world.networks[network].price_per_gib * crossed / (1_u64 << 30) as f64;
        self.runs[run].state = State::Moving(parts);
        self.at(self.now_s + self.world.networks[network].rtt_ms / 2e3, Due::Reached(run));
        self.watch_wan();
        run
    }

    /// Ends a run that has not answered, and pays for what it held.
    pub(super) fn cancel(&mut self, run: RunId) {
        let network = self.runs[run].network;
        match self.runs[run].state {
            State::Moving(_) => {
                self.wan.cancel(Freight::Body(run), self.now_s);
                self.watch_wan();
            }
            State::Queued => self.networks[network].queue.retain(|other| *other != run),
            State::Running => self.stop(run),
            State::Done | State::Over => {}
        }
        self.runs[run].state = State::Over;
        self.fill(network);
    }

    /// Makes a shadow the lead: it takes a slot, before those that have not begun.
    pub(super) fn adopt(&mut self, run: RunId) {
        match self.runs[run].state {
            State::Running => {
                self.stop(run);
                self.runs[run].granted = None;
                self.runs[run].state = State::Queued;
                let network = self.runs[run].network;
                self.networks[network].queue.push_front(run);
                self.fill(network);
            }
            State::Done => self.answer(run),
            _ => self.runs[run].granted = None,
        }
    }

    /// The share of its work that a run has done by now.
    pub(super) fn done(&self, run: RunId) -> f64 {
        let run = &self.runs[run];
        match run.state {
            State::Running => {
                let ran_s = (self.now_s - run.since_s).max(0.0) * run.granted.unwrap_or(1.0);
                (run.done + ran_s / run.takes_s).clamp(0.0, 1.0)
            }
            State::Done => 1.0,
            _ => run.done,
        }
    }

    fn at(&mut self, at_s: f64, due: Due) {
        self.number += 1;
        let at_ns = (at_s.max(self.now_s) * 1e9).ceil() as u64;
        self.due.push(Reverse((at_ns, self.number, due)));
    }

    fn watch_wan(&mut self) {
        if let Some(at_s) = self.wan.next_s() {
            self.at(at_s, Due::Wan(self.wan.turn));
        }
    }

    /// Hands out what has arrived over the link.
    fn unload(&mut self) {
        for freight in self.wan.arrived(self.now_s) {
            match freight {
                Freight::Body(run) => self.part_here(run),
                Freight::Data(network, key) => {
                    let waiting = self.networks[network].cache.coming.get(&key).and_then(|runs| runs.first().copied());
                    let bytes = waiting.and_then(|run| self.lots[self.runs[run].lot].data).map_or(0, |data| data.bytes);
                    for run in self.networks[network].cache.keep(key, bytes as f64) {
                        self.part_here(run);
                    }
                }
                Freight::Answer(run) => self.on_its_way_back(run),
            }
        }
        self.watch_wan();
    }

    /// One of the things a run needs has arrived.
    fn part_here(&mut self, run: RunId) {
        let State::Moving(parts) = self.runs[run].state else { return };
        if parts > 1 {
            self.runs[run].state = State::Moving(parts - 1);
            return;
        }
        self.runs[run].supplied_s = self.now_s;
        if self.runs[run].granted.is_some() {
            self.begin(run, 0.0);
            return;
        }
        self.runs[run].state = State::Queued;
        let network = self.runs[run].network;
        self.networks[network].queue.push_back(run);
        self.fill(network);
    }

    /// Gives free slots to those that wait.
    fn fill(&mut self, network: usize) {
        while self.networks[network].running.len() < self.networks[network].slots {
            let Some(run) = self.networks[network].queue.pop_front() else { return };
            self.networks[network].running.push(run);
            let left_s = self.networks[network].free_since_s.pop().unwrap_or(f64::NEG_INFINITY);
            let place = &self.world.networks[network];
            let is_cold = self.now_s - left_s > place.cold_after_s && self.runs[run].done == 0.0;
            self.begin(run, if is_cold { place.cold_start_s } else { 0.0 });
        }
    }

    fn begin(&mut self, run: RunId, cold_s: f64) {
        let (now_s, lots) = (self.now_s, self.lots);
        let run_id = run;
        let run = &mut self.runs[run];
        if run.takes_s.is_nan() {
            run.takes_s = lots[run.lot].takes_s(run.network, now_s) + cold_s;
        }
        run.state = State::Running;
        run.since_s = now_s;
        run.turn += 1;
        run.end_s = now_s + (1.0 - run.done) * run.takes_s / run.granted.unwrap_or(1.0);
        let (end_s, turn) = (run.end_s, run.turn);
        self.at(end_s, Due::Ends(run_id, turn));
    }

    /// Stops a run that runs: it leaves its slot and is paid for. Its work stays done.
    fn stop(&mut self, run: RunId) {
        let done = self.done(run);
        let Run { lot, network, granted, since_s, .. } = self.runs[run];
        let held_s = (self.now_s - since_s).max(0.0) * granted.unwrap_or(1.0);
        self.money[lot] += held_s * self.world.networks[network].price_per_slot_s;
        if granted.is_some() {
            self.shadow_s += held_s;
        } else {
            self.networks[network].running.retain(|other| *other != run);
            self.networks[network].free_since_s.push(self.now_s);
        }
        self.runs[run].done = done;
        self.runs[run].turn += 1;
    }

    fn ends(&mut self, run: RunId, turn: u32) -> Option<Event> {
        if self.runs[run].turn != turn || self.runs[run].state != State::Running {
            return None;
        }
        self.stop(run);
        (self.runs[run].state, self.runs[run].done) = (State::Done, 1.0);
        if self.runs[run].granted.is_some() {
            return Some(Event::Finished(run));
        }
        self.fill(self.runs[run].network);
        self.answer(run);
        None
    }

    /// Sends the answer of a run that is done back.
    fn answer(&mut self, run: RunId) {
        self.runs[run].granted = None;
        let Run { lot, network, .. } = self.runs[run];
        let bytes = self.lots[lot].response_bytes;
        if network == 0 || bytes < 1.0 {
            self.on_its_way_back(run);
            return;
        }
        self.money[lot] += self.world.networks[network].price_per_gib * bytes / (1_u64 << 30) as f64;
        self.wan.start(Freight::Answer(run), bytes, self.now_s);
        self.watch_wan();
    }

    fn on_its_way_back(&mut self, run: RunId) {
        let back_s = self.world.networks[self.runs[run].network].rtt_ms / 2e3;
        self.at(self.now_s + back_s, Due::Answered(run));
    }
}
