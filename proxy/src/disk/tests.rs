//! What is on disk is whole and within its bound, or not there: through restarts, damage and a full disk.

use std::future::poll_fn;
use std::io::{Read, Seek, SeekFrom, Write};
use std::sync::atomic::AtomicU64;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;

/// Counts what it is told.
#[derive(Debug, Default)]
struct Told {
    kept: AtomicU64,
    evicted: AtomicU64,
    removed: AtomicU64,
    damaged: AtomicU64,
    discarded: AtomicU64,
}

impl Told {
    fn count(of: &AtomicU64) -> u64 {
        of.load(Ordering::Relaxed)
    }
}

impl Witness for Told {
    fn kept(&self, _bytes: u64) {
        self.kept.fetch_add(1, Ordering::Relaxed);
    }

    fn dropped(&self, _object: &Object, why: Why) {
        let count = match why {
            Why::Evicted => &self.evicted,
            Why::Removed => &self.removed,
            Why::Damaged => &self.damaged,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    fn discarded(&self) {
        self.discarded.fetch_add(1, Ordering::Relaxed);
    }
}

const ROOMY: Limits = Limits { bytes: 64 << 20, object_bytes: 32 << 20, objects: 100 };

struct Place {
    directory: tempfile::TempDir,
    told: Arc<Told>,
}

impl Place {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().expect("a temporary directory"), told: Arc::default() }
    }

    fn open(&self, limits: Limits) -> Arc<Disk> {
        Disk::open(self.directory.path(), limits, Arc::clone(&self.told) as Arc<dyn Witness>).expect("it opens")
    }

    fn files(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.directory.path()).expect("it can be listed");
        let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
        paths.retain(|path| !path.ends_with("lock"));
        paths.sort();
        paths
    }
}

/// Bytes that differ from place to place.
fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at.wrapping_mul(31) ^ (at >> 8)) as u8).collect()
}

async fn put(disk: &Arc<Disk>, key: &[u8], data: &[u8]) -> Result<Arc<Object>, WriteError> {
    let mut writer = disk.write(key, 0)?;
    for piece in data.chunks(10_000) {
        writer.append(piece).await?;
    }
    writer.commit(b"said").await
}

async fn all(reader: &mut Reader) -> Result<Vec<u8>, ReadError> {
    let mut read = Vec::new();
    while let Some(data) = poll_fn(|cx| reader.poll_next(cx)).await {
        read.extend_from_slice(&data?);
    }
    Ok(read)
}

async fn get(disk: &Arc<Disk>, key: &[u8], range: Option<std::ops::Range<u64>>) -> Result<Vec<u8>, ReadError> {
    let object = disk.find(key).expect("the object is there");
    let mut opened = disk.read(&object, range).await?;
    assert_eq!(*opened.meta, *b"said");
    all(&mut opened.reader).await
}

#[tokio::test]
async fn what_was_written_is_read_also_by_another_process() {
    let place = Place::new();
    let sizes = [0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 3 << 20];
    let disk = place.open(ROOMY);
    for size in sizes {
        put(&disk, &size.to_le_bytes(), &pattern(size)).await.expect("it is kept");
    }
    for _ in 0..2 {
        let disk = &disk;
        for size in sizes {
            assert_eq!(get(disk, &size.to_le_bytes(), None).await.expect("it is sound"), pattern(size));
        }
    }
    let used = disk.used_bytes();
    drop(disk);
    let disk = place.open(ROOMY);
    assert_eq!((disk.count(), place.files().len()), (sizes.len(), sizes.len()));
    assert!(disk.used_bytes().abs_diff(used) <= 8192 * sizes.len() as u64);
    for size in sizes {
        assert_eq!(get(&disk, &size.to_le_bytes(), None).await.expect("it is sound"), pattern(size));
    }
}

#[tokio::test]
async fn one_process_at_a_time_has_a_directory() {
    let place = Place::new();
    let disk = place.open(ROOMY);
    let second = Disk::open(place.directory.path(), ROOMY, Arc::new(Told::default()));
    assert!(matches!(second, Err(OpenError::InUse { .. })));
    drop(disk);
    place.open(ROOMY);
}

#[tokio::test]
async fn a_flipped_bit_is_never_handed_out() {
    let data = pattern(5 * BLOCK_BYTES + 100);
    let place = Place::new();
    let disk = place.open(ROOMY);
    let file_bytes = {
        put(&disk, b"k", &data).await.expect("it is kept");
        fs::metadata(&place.files()[0]).expect("a file").len()
    };
    // Every kind of place: first and last block, checksums, key, what was said, footer.
    for at in
        [0, data.len() as u64 - 1, data.len() as u64, file_bytes - 40, file_bytes - 34, file_bytes - 20, file_bytes - 1]
    {
        put(&disk, b"k", &data).await.expect("it is kept");
        let path = place.files().pop().expect("a file");
        let mut file = OpenOptions::new().read(true).write(true).open(&path).expect("it opens");
        let mut byte = [0];
        file.seek(SeekFrom::Start(at)).and_then(|_| file.read_exact(&mut byte)).expect("it is read");
        byte[0] ^= 1;
        file.seek(SeekFrom::Start(at)).and_then(|_| file.write_all(&byte)).expect("it is written");
        let before = Told::count(&place.told.damaged);
        let object = disk.find(b"k").expect("it is there");
        let read = match disk.read(&object, None).await {
            Ok(mut opened) => all(&mut opened.reader).await,
            Err(error) => Err(error),
        };
        assert!(matches!(read, Err(ReadError::Damaged)), "byte {at}: {:?}", read.map(|read| read.len()));
        assert!(disk.find(b"k").is_none(), "it is gone");
        assert_eq!(Told::count(&place.told.damaged), before + 1);
    }
}

#[tokio::test]
async fn a_range_is_checked_by_its_own_blocks() {
    let data = pattern(5 * BLOCK_BYTES);
    let place = Place::new();
    let disk = place.open(ROOMY);
    put(&disk, b"k", &data).await.expect("it is kept");
    let file = OpenOptions::new().write(true).open(&place.files()[0]).expect("it opens");
    std::os::unix::fs::FileExt::write_all_at(&file, &[!data[0]], 0).expect("it is written");
    let later = BLOCK_BYTES as u64 + 5..data.len() as u64 - 3;
    let expected = &data[later.start as usize..later.end as usize];
    assert_eq!(get(&disk, b"k", Some(later)).await.expect("these blocks are sound"), expected);
    assert!(get(&disk, b"k", Some(5..6)).await.is_err());
}

#[tokio::test]
async fn what_is_cut_or_not_whole_is_not_taken_up() {
    let place = Place::new();
    let disk = place.open(ROOMY);
    for key in 0..4_u8 {
        put(&disk, &[key], &pattern(200_000)).await.expect("it is kept");
    }
    drop(disk);
    let files = place.files();
    File::options().write(true).open(&files[0]).and_then(|file| file.set_len(100_000)).expect("it is cut");
    File::options().write(true).open(&files[1]).and_then(|file| file.set_len(3)).expect("it is cut");
    File::options().append(true).open(&files[2]).and_then(|mut file| file.write_all(b"x")).expect("it is padded");
    fs::write(place.directory.path().join("0000000000000042.part"), b"half").expect("it is written");
    fs::write(place.directory.path().join("README"), b"not ours").expect("it is written");
    let disk = place.open(ROOMY);
    assert_eq!((disk.count(), Told::count(&place.told.discarded)), (1, 4));
    assert_eq!(get(&disk, &[3], None).await.expect("it is sound"), pattern(200_000));
    let left: Vec<_> = place.files().iter().map(|path| path.file_name().unwrap_or_default().to_owned()).collect();
    assert_eq!(left.len(), 2, "the sound one, and what is not ours: {left:?}");
}

#[tokio::test]
async fn the_bound_holds_and_what_was_used_longest_ago_goes() {
    let place = Place::new();
    let limits = Limits { bytes: 1 << 20, object_bytes: 600 << 10, objects: 100 };
    let disk = place.open(limits);
    for key in 0..4_u8 {
        put(&disk, &[key], &pattern(200 << 10)).await.expect("it is kept");
    }
    assert!(disk.find(&[0]).is_some());
    put(&disk, &[4], &pattern(200 << 10)).await.expect("it is kept");
    assert!(disk.used_bytes() <= limits.bytes);
    assert!(disk.find(&[0]).is_some() && disk.find(&[1]).is_none(), "0 was used after 1");
    assert!(matches!(put(&disk, b"long", &pattern(601 << 10)).await, Err(WriteError::TooLong)));
    disk.hold(Limits { objects: 2, ..limits });
    assert_eq!(disk.count(), 2);
    disk.hold(Limits { bytes: 0, ..limits });
    assert_eq!((disk.count(), disk.used_bytes()), (0, 0));
    drop(disk);
    // Unlinking is on threads that end with the runtime's work; a new look at the directory settles it.
    wait_for(|| place.files().is_empty()).await;
}

async fn wait_for(condition: impl Fn() -> bool) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while !condition() {
        assert!(std::time::Instant::now() < deadline, "it never came to that");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn what_is_being_read_counts_until_it_is_not() {
    let place = Place::new();
    let disk = place.open(Limits { bytes: 1 << 20, object_bytes: 1 << 20, objects: 9 });
    let data = pattern(700 << 10);
    let object = put(&disk, b"a", &data).await.expect("it is kept");
    let mut opened = disk.read(&object, None).await.expect("it is sound");
    drop(object);
    assert!(matches!(put(&disk, b"b", &data).await, Err(WriteError::NoRoom)), "a is evicted, and still being read");
    assert_eq!(all(&mut opened.reader).await.expect("it is sound"), data);
    drop(opened);
    put(&disk, b"b", &data).await.expect("now there is room");
}

#[tokio::test]
async fn one_that_is_given_up_leaves_nothing() {
    let place = Place::new();
    let disk = place.open(ROOMY);
    let mut writer = disk.write(b"k", 0).expect("it begins");
    writer.append(&pattern(2 << 20)).await.expect("there is room");
    assert_eq!(place.files().len(), 1);
    let mut reader = Reader::growing(Arc::clone(writer.growth())).expect("it can be read");
    drop(writer);
    assert!(matches!(all(&mut reader).await, Err(ReadError::BrokeOff)));
    wait_for(|| place.files().is_empty()).await;
    assert_eq!(disk.used_bytes(), 0);
}

#[tokio::test]
async fn small_ones_stay_in_memory_and_are_on_disk_too() {
    let place = Place::new();
    let disk = place.open(ROOMY);
    let mut writer = disk.write(b"k", 1 << 20).expect("it begins");
    writer.append(&pattern(900_000)).await.expect("there is room");
    assert!(place.files().is_empty(), "nothing is written before it must be");
    let growth = Arc::clone(writer.growth());
    writer.commit(b"said").await.expect("it is kept");
    assert_eq!(growth.in_memory().as_deref(), Some(&*pattern(900_000)));
    assert_eq!(get(&disk, b"k", None).await.expect("it is sound"), pattern(900_000));
}

#[tokio::test]
async fn readers_of_a_growing_object_get_all_of_it_from_memory_and_disk() {
    let place = Place::new();
    let disk = place.open(ROOMY);
    let data = pattern((4 << 20) + 77);
    let mut writer = disk.write(b"k", 0).expect("it begins");
    let growth = Arc::clone(writer.growth());
    let mut early = Reader::growing(Arc::clone(&growth)).expect("it can be read");
    let eager = tokio::spawn(async move { all(&mut early).await });
    let mut late = None;
    for (at, piece) in data.chunks(33_333).enumerate() {
        writer.append(piece).await.expect("there is room");
        if at == 60 {
            late = Reader::growing(Arc::clone(&growth));
        }
        tokio::task::yield_now().await;
    }
    writer.commit(b"said").await.expect("it is kept");
    assert_eq!(eager.await.expect("no panic").expect("it is whole"), data);
    assert_eq!(all(&mut late.expect("it could be read")).await.expect("it is whole"), data);
}

#[tokio::test]
async fn a_narrowed_object_waits_for_one_reader_and_cuts_the_last_of_several() {
    let growth = Growth::new();
    let mut one = Reader::growing(Arc::clone(&growth)).expect("it can be read");
    let mut slow = Reader::growing(Arc::clone(&growth)).expect("it can be read");
    let data = pattern(40 * BLOCK_BYTES);
    growth.push(&data[..BLOCK_BYTES]);
    growth.narrow();
    assert!(Reader::growing(Arc::clone(&growth)).is_none(), "nobody new");
    let (writes, growing) = (data.clone(), Arc::clone(&growth));
    let writer = tokio::spawn(async move {
        for piece in writes[BLOCK_BYTES..].chunks(BLOCK_BYTES) {
            growing.has_room().await;
            growing.push(piece);
        }
        growing.finish();
    });
    assert_eq!(all(&mut one).await.expect("it is whole"), data);
    assert!(all(&mut slow).await.is_err(), "it was cut");
    writer.await.expect("no panic");
    drop((one, slow));
    growth.is_unread().await;
}

#[tokio::test]
async fn a_disk_that_takes_nothing_fails_the_write_only() {
    let place = Place::new();
    let disk = place.open(ROOMY);
    put(&disk, b"before", &pattern(100)).await.expect("it is kept");
    let mut writer = disk.write(b"k", 0).expect("it begins");
    // The directory is gone, so no file can be made: what a full disk says comes the same way.
    let gone = place.directory.path().with_extension("gone");
    fs::rename(place.directory.path(), &gone).expect("it is moved");
    let mut failed = None;
    for piece in pattern(2 << 20).chunks(50_000) {
        if let Err(error) = writer.append(piece).await {
            failed = Some(error);
            break;
        }
    }
    assert!(matches!(failed, Some(WriteError::Io(_))));
    fs::rename(&gone, place.directory.path()).expect("it is moved back");
    drop(writer);
    put(&disk, b"k", &pattern(100)).await.expect("it is kept again");
    assert_eq!(get(&disk, b"before", None).await.expect("it is sound"), pattern(100));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn any_range_of_any_object_is_what_was_written(len in 1..400_000_usize, a in 0..400_000_usize, b in 0..400_000_usize) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let place = Place::new();
            let disk = place.open(ROOMY);
            let data = pattern(len);
            put(&disk, b"k", &data).await.expect("it is kept");
            let (from, to) = (a.min(b).min(len), a.max(b).min(len));
            let read = get(&disk, b"k", Some(from as u64..to as u64)).await.expect("it is sound");
            prop_assert_eq!(Bytes::from(read), Bytes::copy_from_slice(&data[from..to]));
            Ok(())
        })?;
    }
}
