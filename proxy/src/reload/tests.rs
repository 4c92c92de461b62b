//! A file that is seen while somebody writes it, in time that only passes when everybody waits.

use super::*;

const GOOD: &str = "home = 'home'\nlisten.jobs = '127.0.0.1:0'\nlisten.admin = '127.0.0.1:0'\nnetworks.home.upstreams = ['http://127.0.0.1:1']\n";

/// A reloader at work on a file, and who asks it.
struct Desk {
    shared: Arc<Shared>,
    path: PathBuf,
    ask: mpsc::Sender<()>,
    _directory: tempfile::TempDir,
}

impl Desk {
    fn new() -> (Self, Reloader) {
        let directory = tempfile::tempdir().expect("there is room for files");
        let path = directory.path().join("adumbra.toml");
        std::fs::write(&path, GOOD).expect("there is room for files");
        let parsed = config::parse(GOOD, "test").unwrap_or_else(|errors| panic!("{errors}"));
        let shared = crate::app::shared_alone(parsed.clone());
        shared.book.takes(InForce::now(&GOOD.into()));
        let (ask, asked) = mpsc::channel(1);
        let reloader = Reloader {
            shared: Arc::clone(&shared),
            path: Some(path.clone()),
            parsed: Arc::new(parsed),
            for_run: false,
            refused: None,
            asked,
        };
        (Self { shared, path, ask, _directory: directory }, reloader)
    }

    fn save(&self, text: &str) {
        std::fs::write(&self.path, text).expect("there is room for files");
    }

    /// As an editor that renames: whoever reads sees the one or the other, whole.
    fn replace(&self, text: &str) {
        let beside = self.path.with_extension("new");
        std::fs::write(&beside, text).expect("there is room for files");
        std::fs::rename(&beside, &self.path).expect("it is the same directory");
    }

    fn reload(&self) {
        self.ask.try_send(()).expect("nobody else asks");
    }

    /// The reloads so far: applied, unchanged and refused.
    fn counted(&self) -> [u64; 3] {
        use ConfigReload::{Applied, Refused, Unchanged};
        [Applied, Unchanged, Refused].map(|outcome| self.shared.metrics.config_reloads(outcome))
    }
}

/// Lets the reloader work while `script` runs.
async fn while_it_works(script: impl AsyncFnOnce(&Desk)) {
    let (desk, reloader) = Desk::new();
    let mut standing = Standing::alone(&desk.shared);
    tokio::select! {
        () = reloader.keep(&mut standing) => unreachable!("it does not end by itself"),
        () = script(&desk) => {}
    }
}

async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}

#[tokio::test(start_paused = true)]
async fn one_that_is_seen_in_the_middle_of_being_written_is_not_refused() {
    while_it_works(async |desk| {
        let whole = format!("{GOOD}[[routes]]\nname = 'new'\n");
        desk.save(&whole[..whole.len() - 8]);
        desk.reload();
        pass(AGAIN / 2).await;
        assert_eq!(desk.counted(), [0, 0, 0], "it is given the time");
        desk.save(&whole);
        pass(AGAIN).await;
        assert_eq!(desk.counted(), [1, 0, 0]);
        assert_eq!(desk.shared.generation.load().config.routes[0].name, "new");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn one_that_goes_on_changing_is_left_until_it_rests() {
    while_it_works(async |desk| {
        // Any of these is valid by itself.
        for n in 0..40 {
            desk.replace(&format!("{GOOD}# {n}\n"));
            pass(SETTLE / 2).await;
        }
        assert_eq!(desk.counted(), [0, 0, 0]);
        pass(LOOK_EVERY + 2 * SETTLE).await;
        assert_eq!(desk.counted(), [1, 0, 0]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn one_that_stays_bad_is_refused_once_and_again_when_it_is_bad_in_another_way() {
    while_it_works(async |desk| {
        let all = LOOK_EVERY + SETTLE + AGAIN;
        desk.save("home = 3\n");
        pass(all).await;
        pass(20 * all).await;
        assert_eq!(desk.counted(), [0, 0, 1], "and not whenever it is looked at");
        desk.save("home = 4\n");
        pass(2 * all).await;
        assert_eq!(desk.counted(), [0, 0, 2]);
        desk.reload();
        pass(2 * all).await;
        assert_eq!(desk.counted(), [0, 0, 3], "whoever asks is answered");
        desk.save(GOOD);
        pass(2 * all).await;
        assert_eq!(desk.counted(), [0, 1, 3]);
        assert!(desk.shared.book.read().1.is_none());
        pass(20 * all).await;
        assert_eq!(desk.counted(), [0, 1, 3]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn roots_that_change_are_taken_up_though_the_file_stays() {
    while_it_works(async |desk| {
        let pem = |name: &str| {
            let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).expect("a certificate can be made");
            made.cert.pem()
        };
        let roots = desk.path.with_file_name("roots.pem");
        std::fs::write(&roots, pem("one")).expect("there is room for files");
        desk.save(&format!("{GOOD}networks.away = {{ upstreams = ['https://127.0.0.1:1'], ca = {roots:?} }}\n"));
        let all = LOOK_EVERY + SETTLE + AGAIN;
        pass(2 * all).await;
        assert_eq!(desk.counted(), [1, 0, 0]);
        let before = desk.shared.generation.load().networks[1].clone();
        std::fs::write(&roots, pem("two")).expect("there is room for files");
        pass(2 * all).await;
        assert_eq!(desk.counted(), [2, 0, 0]);
        let after = desk.shared.generation.load().networks[1].clone();
        assert!(!Arc::ptr_eq(&before.endpoints[0], &after.endpoints[0]), "it is verified by others now");
        std::fs::write(&roots, "no roots").expect("there is room for files");
        pass(2 * all).await;
        assert_eq!(desk.counted(), [2, 0, 1]);
        pass(20 * all).await;
        assert_eq!(desk.counted(), [2, 0, 1]);
    })
    .await;
}
