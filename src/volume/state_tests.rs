use proptest::prelude::*;

use super::*;

fn hold(ids: Ids) -> Hold {
    let since = "2026-11-26T11:42:17Z".into();
    Hold { name: "data".into(), pool: "rbd".into(), ids, since, begun: false, error: None }
}

#[test]
fn the_file_outlives_the_driver_and_its_holds_the_boot_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.json");
    let mut state = State::load(&path, "boot-1").unwrap();
    assert_eq!(state, State { boot_id: "boot-1".into(), ..State::default() });
    let mut ids = Ids::default();
    ids.mount("a", Some(Daemon { pid: 7, started: 70 }));
    ids.mount("a", None);
    state.holds.insert("1234".into(), hold(ids));
    let known = Known {
        pool: "rbd".into(),
        image_id: "1234".into(),
        size: 1 << 30,
        features: vec!["layering".into()],
        made: None,
        formatted: true,
    };
    state.known.insert("data".into(), known);
    state.save(&path).unwrap();
    assert_eq!(State::load(&path, "boot-1").unwrap(), state);
    let later = State::load(&path, "boot-2").unwrap();
    assert_eq!((later.holds.len(), later.known.len()), (0, 1));
    fs::write(&path, "{").unwrap();
    assert!(State::load(&path, "boot-1").is_err(), "a file that cannot be read is told");
}

/// With live-restore a container may run on, or end while no dockerd looks and be started by the next one: the two begin
/// with the same `Mount`.
#[test]
fn what_a_dockerd_said_that_has_ended_is_counted_apart() {
    let dockerd = |life| Some(Daemon { pid: 7, started: life });
    let gone = |daemon: &Daemon| daemon.started == 1;
    let mut ids = Ids::default();
    ids.mount("a", dockerd(1));
    let (mut runs_on, mut started_again) = (ids.clone(), ids);
    // `docker cp`, and in the end it is stopped
    runs_on.mount("a", dockerd(2));
    runs_on.unmount("a");
    assert!(runs_on.has("a"));
    runs_on.unmount("a");
    assert!(runs_on.is_empty());
    // one that is started and stopped
    started_again.mount("a", dockerd(2));
    assert!(started_again.any_of(gone));
    started_again.unmount("a");
    let file = serde_json::to_string(&started_again).unwrap();
    let mut read: Ids = serde_json::from_str(&file).unwrap();
    assert_eq!(read, started_again);
    read.forget(gone);
    assert!(read.is_empty(), "{file}");
    // a state of a driver that did not count them apart
    let old: Ids = serde_json::from_str(r#"{"a":{"times":1,"by":{"pid":7,"started":1}}}"#).unwrap();
    assert!(old.has("a") && old.any_of(gone));
}

/// Docker was restarted while a mount took long: the one before has given up, the one of now has the volume.
#[test]
fn a_mount_that_a_dockerd_gave_up_takes_nothing_from_the_next() {
    let (first, second) = (Daemon { pid: 7, started: 1 }, Daemon { pid: 8, started: 2 });
    let mut ids = Ids::default();
    ids.mount("a", Some(first.clone()));
    ids.forget(|daemon| *daemon == first);
    ids.mount("a", Some(second.clone()));
    ids.undo("a", Some(&first));
    assert!(ids.has("a"));
    ids.undo("a", Some(&second));
    assert!(ids.is_empty());
}

/// What happens to a node.
#[derive(Debug, Clone)]
enum Event {
    /// A container starts, or the one with this number does again.
    Start(usize),
    Stop(usize),
    /// `docker cp` with the id of a container, whether it runs or not.
    Copy(usize),
    /// The driver is killed and started again.
    DriverKilled,
    /// dockerd is killed: its containers end with it, and those with a restart policy come back with their ids.
    DockerKilled {
        restarted: Vec<usize>,
    },
    /// The same with live-restore: the containers run on.
    DockerKilledLive,
    Reboot {
        restarted: Vec<usize>,
    },
    /// The driver's minute is over.
    Minute,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let who = 0..4usize;
    let some = prop::collection::btree_set(0..4usize, 0..4)
        .prop_map(|set| set.into_iter().collect::<Vec<_>>());
    let event = prop_oneof![
        4 => who.clone().prop_map(Event::Start),
        4 => who.clone().prop_map(Event::Stop),
        3 => who.prop_map(Event::Copy),
        1 => Just(Event::DriverKilled),
        1 => some.clone().prop_map(|restarted| Event::DockerKilled { restarted }),
        1 => Just(Event::DockerKilledLive),
        1 => some.prop_map(|restarted| Event::Reboot { restarted }),
        2 => Just(Event::Minute),
    ];
    prop::collection::vec(event, 0..40)
}

/// A node with its containers, as the kernel sees it.
struct Node {
    running: std::collections::BTreeSet<usize>,
    docker: Daemon,
    boot: u32,
    file: std::path::PathBuf,
    state: State,
}

impl Node {
    fn id(container: usize) -> String {
        format!("id-{container}")
    }

    fn mount(&mut self, container: usize) {
        let (docker, unused) = (self.docker.clone(), self.running.is_empty());
        let hold = self.state.holds.entry("1234".into()).or_insert_with(|| hold(Ids::default()));
        if unused {
            hold.ids.forget(|old| *old != docker);
        }
        hold.ids.mount(&Self::id(container), Some(docker));
        self.state.save(&self.file).unwrap();
    }

    fn unmount(&mut self, container: usize) {
        if let Some(hold) = self.state.holds.get_mut("1234") {
            hold.ids.unmount(&Self::id(container));
            if hold.ids.is_empty() {
                self.state.holds.clear();
            }
        }
        self.state.save(&self.file).unwrap();
    }

    fn minute(&mut self) {
        let docker = self.docker.clone();
        if let Some(hold) = self.state.holds.get_mut("1234") {
            if self.running.is_empty() {
                hold.ids.forget(|old| *old != docker);
            }
            if hold.ids.is_empty() {
                self.state.holds.clear();
            }
        }
    }

    fn load(&mut self) {
        self.state = State::load(&self.file, &self.boot.to_string()).unwrap();
    }

    fn next_docker(&mut self) {
        self.docker = Daemon { pid: self.docker.pid, started: self.docker.started + 1 };
    }

    fn start(&mut self, container: usize) {
        if !self.running.contains(&container) {
            self.mount(container);
            self.running.insert(container);
        }
    }

    fn does(&mut self, event: &Event) {
        match event {
            Event::Start(container) => self.start(*container),
            Event::Stop(container) => {
                if self.running.remove(container) {
                    self.unmount(*container);
                }
            }
            Event::Copy(container) => {
                self.mount(*container);
                self.unmount(*container);
            }
            Event::DriverKilled => self.load(),
            Event::DockerKilled { restarted } => {
                let ran = std::mem::take(&mut self.running);
                self.next_docker();
                for container in ran.iter().filter(|c| restarted.contains(c)) {
                    self.start(*container);
                }
            }
            Event::DockerKilledLive => self.next_docker(),
            Event::Reboot { restarted } => {
                let ran = std::mem::take(&mut self.running);
                self.boot += 1;
                self.next_docker();
                self.load();
                for container in ran.iter().filter(|c| restarted.contains(c)) {
                    self.start(*container);
                }
            }
            Event::Minute => self.minute(),
        }
    }

    fn held(&self) -> bool {
        !self.state.holds.is_empty()
    }
}

proptest! {
    #[test]
    fn a_volume_is_held_while_a_container_runs_and_let_go_within_a_minute(events in events()) {
        let folder = tempfile::tempdir().unwrap();
        let mut node = Node {
            running: std::collections::BTreeSet::new(),
            docker: Daemon { pid: 700, started: 1 },
            boot: 1,
            file: folder.path().join("state.json"),
            state: State { boot_id: "1".into(), ..State::default() },
        };
        node.state.save(&node.file).unwrap();
        for event in &events {
            node.does(event);
            prop_assert!(node.held() || node.running.is_empty(), "let go of under {event:?}");
        }
        for container in node.running.clone() {
            node.does(&Event::Stop(container));
        }
        node.does(&Event::Minute);
        prop_assert!(!node.held(), "still held: {:?}", node.state.holds);
    }
}
