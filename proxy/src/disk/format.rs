//! What a file looks like: blocks, then their checksums, the key, what the owner says, and a footer.
//!
//! All that is not data stands behind it, because the length of what comes over a network is known when it has ended. The
//! footer is of one size at the very end, its checksum covers everything but the blocks, and all lengths must add up to the
//! file's, so a file that was cut, padded or half written is no object. Checksums are CRC-32: they are against disks, not
//! against somebody who writes into our directory.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::{BLOCK_BYTES, KEY_MOST, META_MOST};

const MAGIC: [u8; 8] = *b"adumbra1";
/// Magic, bytes of data, of the key and of what the owner says, of a block, checksum.
const FOOTER_BYTES: usize = 8 + 8 + 4 + 4 + 4 + 4;

/// What stands behind the blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tail {
    pub(super) len: u64,
    pub(super) sums: Arc<[u32]>,
    pub(super) key: Arc<[u8]>,
    pub(super) meta: Box<[u8]>,
}

pub(super) fn blocks_of(len: u64) -> u64 {
    len.div_ceil(BLOCK_BYTES as u64)
}

/// What a file of this takes, beside its blocks.
pub(super) fn tail_bytes(len: u64, key_bytes: usize, meta_bytes: usize) -> u64 {
    blocks_of(len) * 4 + (key_bytes + meta_bytes + FOOTER_BYTES) as u64
}

pub(super) fn encode(len: u64, sums: &[u32], key: &[u8], meta: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(sums.len() * 4 + key.len() + meta.len() + FOOTER_BYTES);
    bytes.extend(sums.iter().flat_map(|sum| sum.to_le_bytes()));
    bytes.extend_from_slice(key);
    bytes.extend_from_slice(meta);
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&len.to_le_bytes());
    for bytes_of in [key.len(), meta.len(), BLOCK_BYTES] {
        bytes.extend_from_slice(&(bytes_of as u32).to_le_bytes());
    }
    bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
    bytes
}

/// Reads and checks all of `file` but its blocks; `None` if it is no object. Blocks.
pub(super) fn read(file: &File) -> io::Result<Option<Tail>> {
    let file_bytes = file.metadata()?.len();
    let mut footer = [0; FOOTER_BYTES];
    let Some(at) = file_bytes.checked_sub(FOOTER_BYTES as u64) else { return Ok(None) };
    file.read_exact_at(&mut footer, at)?;
    let word = |at: usize| u32::from_le_bytes([footer[at], footer[at + 1], footer[at + 2], footer[at + 3]]);
    let len = u64::from(word(8)) | u64::from(word(12)) << 32;
    let (key_bytes, meta_bytes) = (word(16) as usize, word(20) as usize);
    let bounded = key_bytes <= KEY_MOST && meta_bytes <= META_MOST && len <= file_bytes;
    let adds_up = bounded && len + tail_bytes(len, key_bytes, meta_bytes) == file_bytes;
    if footer[..8] != MAGIC || word(24) as usize != BLOCK_BYTES || !adds_up {
        return Ok(None);
    }
    let mut tail = vec![0; (file_bytes - len) as usize];
    file.read_exact_at(&mut tail, len)?;
    let (said, sum) = tail.split_at(tail.len() - 4);
    if crc32fast::hash(said).to_le_bytes() != sum {
        return Ok(None);
    }
    let (sums, rest) = said.split_at(blocks_of(len) as usize * 4);
    let sums = sums.chunks_exact(4).map(|sum| u32::from_le_bytes([sum[0], sum[1], sum[2], sum[3]])).collect();
    let (key, rest) = rest.split_at(key_bytes);
    Ok(Some(Tail { len, sums, key: key.into(), meta: rest[..meta_bytes].into() }))
}
