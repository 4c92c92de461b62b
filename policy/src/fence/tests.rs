//! The fence by itself: tables, every short word, long random ones. Both sides of an adoption together are in
//! `crate::adoption`, a simulation.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn network(index: usize) -> NetworkId {
    NetworkId::new(index).expect("below the most networks")
}

fn lead() -> Dispatch {
    Dispatch::Lead(network(0))
}

fn shadow() -> Dispatch {
    Dispatch::Shadow(network(1))
}

fn both() -> Fence {
    let mut fence = Fence::new();
    assert_eq!(fence.started(lead()), Ok(()));
    assert_eq!(fence.started(shadow()), Ok(()));
    fence
}

fn lost(fence: &Fence) -> Vec<Dispatch> {
    fence.possibly_running().collect()
}

#[test]
fn one_is_chosen_and_the_rest_are_losers() {
    let mut fence = both();
    assert_eq!(fence.started(lead()), Err(Fenced::Started));
    assert_eq!(fence.started(Dispatch::Again(network(2), 1)), Err(Fenced::Led));
    assert_eq!(fence.losers().count(), 0);
    let token = fence.choose().expect("nobody was chosen before");
    assert_eq!(token.dispatch(), lead());
    assert_eq!(fence.choose(), Err(Fenced::Taken));
    assert_eq!(fence.take(network(1)), Err(Fenced::Taken));
    assert_eq!(fence.ask(network(1)), Err(Fenced::Taken));
    assert_eq!(fence.started(Dispatch::Again(network(2), 1)), Err(Fenced::Taken));
    assert_eq!(fence.losers().collect::<Vec<_>>(), [shadow()]);
    fence.ended(shadow(), End::Lost);
    assert_eq!(fence.losers().count(), 0);
    assert_eq!(lost(&fence), [shadow()]);
    fence.ended(shadow(), End::Gone);
    assert_eq!(fence.possibly_running().count(), 0);
}

#[test]
fn a_broken_winner_gives_way_and_never_answers_again() {
    let mut fence = Fence::new();
    assert_eq!(fence.started(lead()), Ok(()));
    let token = fence.choose().expect("nobody was chosen before");
    fence.ended(lead(), End::Gone);
    fence.give_back(token);
    assert_eq!(fence.choose(), Err(Fenced::NotLive));
    let again = Dispatch::Again(network(1), 1);
    assert_eq!(fence.started(again), Ok(()));
    assert_eq!(fence.choose().map(|token| token.dispatch()), Ok(again));
}

#[test]
fn a_lost_or_unknown_dispatch_never_answers() {
    let mut fence = Fence::new();
    assert_eq!(fence.choose(), Err(Fenced::NotLive));
    assert_eq!(fence.take(network(1)), Err(Fenced::NotLive));
    let mut fence = both();
    fence.ended(lead(), End::Lost);
    assert_eq!(fence.choose(), Err(Fenced::NotLive));
    fence.ended(lead(), End::Answered);
    assert_eq!(fence.choose(), Err(Fenced::NotLive), "a late answer of a lost dispatch is not used");
    fence.ended(shadow(), End::Answered);
    assert_eq!(fence.take(network(1)), Ok(()));
    assert_eq!(fence.choose().map(|token| token.dispatch()), Ok(shadow()));
}

#[test]
fn what_a_reply_means_depends_on_what_happened_meanwhile() {
    let check = |meanwhile: &dyn Fn(&mut Fence), reply, expected, leads: Option<Dispatch>, possibly: &[Dispatch]| {
        let mut fence = both();
        assert_eq!(fence.ask(network(1)), Ok(()));
        assert_eq!(fence.leading(), Some(lead()), "what led goes on");
        meanwhile(&mut fence);
        assert_eq!(fence.replied(network(1), reply), expected);
        assert_eq!(fence.leading(), leads, "{reply:?}");
        assert_eq!(lost(&fence), possibly, "{reply:?}");
    };
    let nothing = |_: &mut Fence| {};
    check(&nothing, Reply::Granted, Ok(()), Some(shadow()), &[lead()]);
    check(&nothing, Reply::TooLate, Err(Fenced::NotLive), Some(lead()), &[]);
    check(&nothing, Reply::Unknown, Err(Fenced::NotLive), Some(lead()), &[shadow()]);
    let begun = |fence: &mut Fence| fence.begun();
    check(&begun, Reply::Granted, Err(Fenced::Begun), Some(lead()), &[shadow()]);
    check(&begun, Reply::TooLate, Err(Fenced::NotLive), Some(lead()), &[]);
    let broke = |fence: &mut Fence| fence.ended(lead(), End::Lost);
    check(&broke, Reply::Granted, Ok(()), Some(shadow()), &[lead()]);
    check(&broke, Reply::Unknown, Err(Fenced::NotLive), None, &[lead(), shadow()]);
    let died = |fence: &mut Fence| fence.ended(shadow(), End::Gone);
    check(&died, Reply::Granted, Err(Fenced::NotLive), Some(lead()), &[]);
    let whole = |fence: &mut Fence| fence.ended(shadow(), End::Answered);
    for reply in [Reply::Granted, Reply::TooLate, Reply::Unknown] {
        check(&whole, reply, Ok(()), Some(shadow()), &[lead()]);
    }
    let left = |fence: &mut Fence| fence.abandon();
    check(&left, Reply::Granted, Err(Fenced::Taken), Some(lead()), &[lead(), shadow()]);
}

#[test]
fn one_adoption_is_asked_for_at_a_time() {
    let mut fence = both();
    assert_eq!(fence.started(Dispatch::Shadow(network(2))), Ok(()));
    assert_eq!(fence.ask(network(1)), Ok(()));
    assert_eq!(fence.ask(network(2)), Err(Fenced::Asking));
    assert_eq!(fence.replied(network(1), Reply::TooLate), Err(Fenced::NotLive));
    assert_eq!(fence.ask(network(2)), Ok(()));
    assert_eq!(fence.replied(network(2), Reply::Granted), Ok(()));
    assert_eq!(lost(&fence), [lead()], "what the far side says to be over is not counted");
    fence.begun();
    for again in [Reply::Granted, Reply::TooLate, Reply::Unknown] {
        assert_eq!(fence.replied(network(2), again), Ok(()), "what comes twice changes nothing");
        assert_eq!(fence.leading(), Some(Dispatch::Shadow(network(2))));
    }
}

/// What a caller may do, on one of six dispatches.
#[derive(Clone, Copy, Debug)]
enum Act {
    Start(usize),
    End(usize, End),
    Ask(usize),
    Reply(usize, Reply),
    Take(usize),
    Begun,
    Choose,
    GiveBack,
    Abandon,
}

fn dispatch(index: usize) -> Dispatch {
    match index {
        0..2 => Dispatch::Lead(network(index)),
        2..4 => Dispatch::Shadow(network(index - 2)),
        _ => Dispatch::Again(network(index - 4), 1),
    }
}

fn act() -> impl Strategy<Value = Act> {
    let end = prop_oneof![Just(End::Answered), Just(End::Gone), Just(End::Lost)];
    let reply = prop_oneof![Just(Reply::Granted), Just(Reply::TooLate), Just(Reply::Unknown)];
    prop_oneof![
        4 => (0_usize..6).prop_map(Act::Start),
        4 => (0_usize..6, end).prop_map(|(d, e)| Act::End(d, e)),
        2 => (0_usize..2).prop_map(Act::Ask),
        2 => (0_usize..2, reply).prop_map(|(on, r)| Act::Reply(on, r)),
        1 => (0_usize..2).prop_map(Act::Take),
        1 => Just(Act::Begun),
        3 => Just(Act::Choose),
        2 => Just(Act::GiveBack),
        1 => Just(Act::Abandon),
    ]
}

/// Carries `acts` out and checks after each that there is at most one token and that the dead do not answer.
fn holds(acts: &[Act]) {
    let mut fence = Fence::new();
    let mut token: Option<Token> = None;
    let mut dead = BTreeSet::new();
    for act in acts {
        match *act {
            Act::Start(d) => assert!(fence.started(dispatch(d)).is_err() || token.is_none(), "{acts:?}"),
            Act::End(d, end) => {
                let runs = fence.running().any(|running| running == dispatch(d));
                if runs && end != End::Answered {
                    dead.insert(d);
                }
                fence.ended(dispatch(d), end);
            }
            Act::Ask(on) => assert!(fence.ask(network(on)).is_err() || token.is_none(), "{acts:?}"),
            Act::Reply(on, reply) => {
                let led = fence.leading() == Some(dispatch(on + 2));
                let taken = fence.replied(network(on), reply).is_ok() && !led;
                assert!(!taken || token.is_none(), "{acts:?}");
                assert!(!taken || fence.leading() == Some(dispatch(on + 2)), "{acts:?}");
            }
            Act::Take(on) => assert!(fence.take(network(on)).is_err() || token.is_none(), "{acts:?}"),
            Act::Begun => fence.begun(),
            Act::Choose => {
                if let Ok(new) = fence.choose() {
                    assert!(token.is_none(), "two tokens: {acts:?}");
                    assert!(!dead.iter().any(|d| dispatch(*d) == new.dispatch()), "the dead answers: {acts:?}");
                    token = Some(new);
                }
            }
            Act::GiveBack => {
                if let Some(old) = token.take() {
                    dead.extend((0..6).filter(|d| dispatch(*d) == old.dispatch()));
                    fence.give_back(old);
                }
            }
            Act::Abandon => {
                fence.abandon();
                token = None;
                assert_eq!(fence.choose(), Err(Fenced::Taken), "{acts:?}");
                assert_eq!(fence.running().count(), 0, "{acts:?}");
            }
        }
        assert_eq!(fence.answering(), token.as_ref().map(Token::dispatch), "{acts:?}");
        assert!(fence.losers().all(|loser| Some(loser) != fence.answering()), "{acts:?}");
    }
}

#[test]
fn every_short_word_of_a_lead_and_a_shadow_keeps_one_token() {
    let acts = [
        Act::Start(0),
        Act::Start(3),
        Act::Start(5),
        Act::End(0, End::Lost),
        Act::End(3, End::Answered),
        Act::End(3, End::Gone),
        Act::Ask(1),
        Act::Reply(1, Reply::Granted),
        Act::Reply(1, Reply::Unknown),
        Act::Begun,
        Act::Choose,
        Act::GiveBack,
    ];
    // Every word of length 5 over the acts: 248,832 of them.
    for word in 0..acts.len().pow(5) {
        let (mut word, mut run) = (word, [acts[0]; 5]);
        for act in &mut run {
            *act = acts[word % acts.len()];
            word /= acts.len();
        }
        holds(&run);
    }
}

proptest! {
    #[test]
    fn long_interleavings_of_six_dispatches_keep_one_token(acts in prop::collection::vec(act(), 0..60)) {
        holds(&acts);
    }
}
