//! `[cache]`: the bounds of the response cache, and what is part of its keys beside what always is.

use super::RESTART;
use super::form::{BYTES, FILE, HEADER_NAME, LONG, MORE};
use super::table::Table;
use crate::value::{Cache, Config};

pub(super) fn cache(root: &mut Table<'_>, previous: Option<&Config>) -> Cache {
    let about = "The response cache, for routes with `cache = true`: docs/cache.md.";
    let mut table = root.table("cache", about);
    let directory = "Where files are, of this sidecar alone. Without it, `cache` in `state.directory`; without that one, \
                     nothing is kept on disk.";
    let directory = table.maybe("directory", &FILE.like("\"/var/cache/adumbra\""), directory);
    table.fixed("directory", RESTART, previous.is_some_and(|previous| previous.cache.directory != directory));
    let memory = "Bytes in memory at the most: heads of all answers, small bodies, and what is on its way.";
    let small = "Bytes of a body up to which it is kept in memory, and on disk, too; a longer one is only on disk.";
    let wait = "How long a request waits for the head of what another one is fetching, before it is sent itself.";
    let tenant = "The header that says whose request it is: what one tenant was answered is never given to another. It must \
                  be set, or removed, before requests come here.";
    let keys = "Headers that are always part of the key, whether answers say `Vary` or not.";
    let headers = table.list("key_headers", &HEADER_NAME, keys).unwrap_or_default();
    Cache {
        memory_bytes: table.or("memory", &BYTES, "'64MiB'", memory),
        small_bytes: table.or("small", &BYTES, "'1MiB'", small),
        disk_bytes: table.or("disk", &BYTES, "'1GiB'", "Bytes on disk at the most.") as u64,
        directory,
        object_bytes: table.or("object", &BYTES, "'256MiB'", "Bytes of one body at the most.") as u64,
        entries: table.or("entries", &MORE, "10000", "Answers at the most.") as usize,
        variants: table.or("variants", &MORE, "8", "Answers for one key, by what they vary by.") as usize,
        wait: table.or("wait", &LONG, "'5s'", wait),
        tenant: table.maybe("tenant", &HEADER_NAME, tenant),
        key_headers: headers.into_iter().map(|header| header.value).collect(),
    }
}
