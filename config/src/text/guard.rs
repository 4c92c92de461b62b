//! What keeps decisions from doing harm, whatever was predicted: `[guard]`, `[networks.NAME.spend]`, and where what
//! must outlive the process is kept, `[state]`.

use policy::SpendCaps;

use super::RESTART;
use super::form::{FILE, MONEY, SHARE};
use super::table::Table;
use crate::value::{Config, Guard, State};

pub(super) fn guard(root: &mut Table<'_>) -> Guard {
    let about = "The comparison with the fixed rule, *spill when full*, which takes over where the policy costs more.";
    let mut table = root.table("guard", about);
    let share = "The share of jobs that the rule places to be compared with, in blocks of several \
                 job times. At first, and while there is reason to suspect the policy, more: up to ten times as many, and half of \
                 them at the most. 0: nothing is compared, and \
                 nothing takes over.";
    Guard { share: table.or("share", &SHARE, "'3%'", share) }
}

pub(super) fn spend(mut table: Table<'_>) -> SpendCaps {
    let hour = "Money spent there in any sixty minutes, after which the network is shut. Without it: no cap.";
    let day = "The same for any 24 hours.";
    let cap = |cap: Option<f64>| cap.unwrap_or(f64::INFINITY);
    SpendCaps {
        per_hour: cap(table.maybe("per_hour", &MONEY.per("currency").like("5.0"), hour)),
        per_day: cap(table.maybe("per_day", &MONEY.per("currency").like("50.0"), day)),
    }
}

pub(super) fn state(root: &mut Table<'_>, previous: Option<&Config>) -> State {
    let mut table = root.table("state", "What must outlive the process.");
    let about = "A directory for it, which is made if it is not there; of this sidecar alone. It keeps what was spent and \
                 learned, and the last configuration in force, from which the sidecar starts when the file has become \
                 unusable. Without it, all of that is forgotten with the process.";
    let directory = table.maybe("directory", &FILE.like("\"/var/lib/adumbra\""), about);
    table.fixed("directory", RESTART, previous.is_some_and(|previous| previous.state.directory != directory));
    State { directory }
}
