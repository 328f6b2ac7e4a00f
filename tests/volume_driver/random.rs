//! Whatever happens to a node in whatever order, its driver killed at any step: never is a volume let go of under a
//! container, never is anything formatted that has something on it, never does Docker hear that a volume in use is gone;
//! and what nobody uses any more is let go of.

use proptest::prelude::*;

use super::mortal::{Life, Mortal};
use super::*;

const CONTAINERS: usize = 4;

/// A volume's name: there are two, and two containers for each.
fn volume(container: usize) -> &'static str {
    ["v0", "v1"][container % 2]
}

#[derive(Debug, Clone)]
enum Event {
    Start(usize),
    Stop(usize),
    /// `docker cp` with the id of a container, whether it runs or not.
    Copy(usize),
    /// `docker volume create`, where there is one or not.
    Create(usize),
    /// `docker volume rm`.
    Remove(usize),
    /// The driver is killed after so many more steps; and whether Docker asks the next one for what it was about.
    Killed(u32, bool),
    /// dockerd is killed: its containers end with it, and these come back with their ids.
    DockerKilled(Vec<usize>),
    /// The same with live-restore: the containers run on, but for these, and nobody says so.
    DockerKilledLive(Vec<usize>),
    /// The power is cut, and these come back.
    Reboot(Vec<usize>),
    /// The driver's minute is over.
    Minute,
    /// Ceph stops to answer, or does again.
    Ceph(bool),
    /// A container on the other node takes the volume, or gives it back.
    Elsewhere(usize, bool),
    /// The other node removes the volume and makes it anew.
    Anew(usize),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let who = || 0..CONTAINERS;
    let some = || {
        let set = prop::collection::btree_set(0..CONTAINERS, 0..CONTAINERS);
        set.prop_map(|set| set.into_iter().collect::<Vec<_>>())
    };
    let event = prop_oneof![
        6 => who().prop_map(Event::Start),
        5 => who().prop_map(Event::Stop),
        2 => who().prop_map(Event::Copy),
        1 => who().prop_map(Event::Create),
        1 => who().prop_map(Event::Remove),
        4 => (1..25u32, any::<bool>()).prop_map(|(steps, again)| Event::Killed(steps, again)),
        1 => some().prop_map(Event::DockerKilled),
        1 => some().prop_map(Event::DockerKilledLive),
        1 => some().prop_map(Event::Reboot),
        2 => Just(Event::Minute),
        1 => any::<bool>().prop_map(Event::Ceph),
        2 => (who(), any::<bool>()).prop_map(|(v, takes)| Event::Elsewhere(v, takes)),
        2 => who().prop_map(Event::Anew),
    ];
    prop::collection::vec(event, 0..30)
}

/// What a running container has.
#[derive(Debug, Clone)]
struct Use {
    device: Device,
    at: Mounted,
}

struct Docker {
    world: World,
    mortal: Mortal,
    driver: Arc<Driver<Mortal, Mortal>>,
    other: Served,
    running: BTreeMap<usize, Use>,
    /// Whether Docker asks again when the driver was killed over a `Mount`, or was killed itself.
    asks_again: bool,
}

fn id(container: usize) -> String {
    format!("id-{container}")
}

impl Docker {
    fn new() -> Self {
        let world = World::new();
        let node = world.a.clone();
        let mortal = Mortal { node, life: Arc::default(), boot: 1, wrong: Arc::default() };
        let driver = Self::started(&world, &mortal);
        let other = world.driver(&world.b);
        Self { world, mortal, driver, other, running: BTreeMap::new(), asks_again: true }
    }

    fn started(world: &World, mortal: &Mortal) -> Arc<Driver<Mortal, Mortal>> {
        let settings = world.settings(&world.a);
        Driver::new(mortal.clone(), mortal.clone(), settings, |_, _| {}).unwrap()
    }

    async fn driver_starts(&mut self) {
        self.mortal.life = Arc::new(Life::default());
        self.driver = Self::started(&self.world, &self.mortal);
        self.driver.reconcile().await;
    }

    /// Asks the driver, and the next one where it was killed over it: Docker does, for half a minute.
    async fn ask(&mut self, call: Call) -> Result<Answer, String> {
        loop {
            if self.mortal.life.is_over() {
                self.driver_starts().await;
            }
            let (driver, life) = (Arc::clone(&self.driver), Arc::clone(&self.mortal.life));
            tokio::select! {
                biased;
                answer = driver.answer(call.clone(), self.mortal.dockerd(1)) => {
                    return answer.map_err(|trouble| trouble.to_string());
                }
                () = life.over() => {}
            }
            if !self.asks_again && matches!(call, Call::Mount { .. }) {
                self.driver_starts().await;
                return Err("Docker has given up".into());
            }
        }
    }

    async fn reconcile(&mut self) {
        let (driver, life) = (Arc::clone(&self.driver), Arc::clone(&self.mortal.life));
        tokio::select! {
            biased;
            _ = driver.reconcile() => {}
            () = life.over() => {}
        }
        if life.is_over() {
            self.driver_starts().await;
        }
    }

    async fn mount(&mut self, container: usize) -> Option<Use> {
        let name = volume(container).to_owned();
        let answer = self.ask(Call::Mount { name, id: id(container) }).await;
        let Answer::Mountpoint(Some(path)) = answer.ok()? else { panic!("no mountpoint") };
        let at = Path::new(&path).parent().unwrap();
        let mounts = self.world.a.mounts();
        let at = mounts.into_iter().find(|m| m.at == at).expect("something is mounted there");
        let devices = self.world.a.devices();
        let device = devices.into_iter().find(|d| d.major_minor == at.major_minor).unwrap();
        let images = self.world.cluster.images.lock().unwrap();
        assert_eq!(images[volume(container)].id, device.image_id, "the volume of that name");
        Some(Use { device, at })
    }

    async fn unmount(&mut self, container: usize) {
        let name = volume(container).to_owned();
        self.ask(Call::Get { name: name.clone() }).await.expect("it is in use, or was just now");
        self.ask(Call::Unmount { name, id: id(container) }).await.unwrap();
    }

    async fn start(&mut self, container: usize) {
        if self.running.contains_key(&container) {
            return;
        }
        if let Some(has) = self.mount(container).await {
            self.world.a.used.lock().unwrap().push(has.device.number);
            self.running.insert(container, has);
        }
    }

    /// The processes of a container are gone.
    fn ends(&mut self, container: usize) -> bool {
        let Some(had) = self.running.remove(&container) else { return false };
        let mut used = self.world.a.used.lock().unwrap();
        let at = used.iter().position(|n| *n == had.device.number).unwrap();
        used.remove(at);
        true
    }

    fn all_end(&mut self, containers: &[usize]) {
        for container in containers {
            self.ends(*container);
        }
    }

    async fn stop(&mut self, container: usize) {
        if self.ends(container) {
            self.unmount(container).await;
        }
    }

    async fn come_back(&mut self, ran: &[usize], back: &[usize]) {
        for container in ran.iter().filter(|c| back.contains(c)) {
            self.start(*container).await;
        }
    }

    async fn does(&mut self, event: &Event) {
        match event {
            Event::Start(container) => self.start(*container).await,
            Event::Stop(container) => self.stop(*container).await,
            Event::Copy(container) => {
                if self.mount(*container).await.is_some() {
                    self.unmount(*container).await;
                }
            }
            Event::Create(v) => {
                let create = Call::Create { name: volume(*v).into(), opts: BTreeMap::new() };
                drop(self.ask(create).await);
            }
            Event::Remove(v) => {
                let removed = self.ask(Call::Remove { name: volume(*v).into() }).await;
                assert!(removed.is_err() || !self.has(volume(*v)), "removed under a container");
            }
            Event::Killed(steps, again) => {
                self.mortal.life.ends_after(*steps);
                self.asks_again = *again;
            }
            Event::DockerKilled(back) => {
                let ran: Vec<usize> = self.running.keys().copied().collect();
                self.all_end(&ran);
                *self.world.a.docker.lock().unwrap() += 1;
                self.come_back(&ran, back).await;
            }
            Event::DockerKilledLive(ended) => {
                self.all_end(ended);
                *self.world.a.docker.lock().unwrap() += 1;
            }
            Event::Reboot(back) => {
                let ran: Vec<usize> = self.running.keys().copied().collect();
                self.power_is_cut();
                self.driver_starts().await;
                self.come_back(&ran, back).await;
            }
            Event::Minute => self.reconcile().await,
            Event::Ceph(answers) => self.world.silent(!answers),
            Event::Elsewhere(v, takes) => self.elsewhere(volume(*v), *takes).await,
            Event::Anew(v) => {
                let name = volume(*v);
                let removed = remove(&self.other, name).await;
                assert!(removed.is_err() || !self.has(name), "removed under a container");
                drop(create(&self.other, name, &[]).await);
            }
        }
    }

    fn has(&self, name: &str) -> bool {
        self.running.keys().any(|c| volume(*c) == name)
    }

    async fn elsewhere(&self, name: &str, takes: bool) {
        if takes {
            let got = mount(&self.other, &self.world.b, name, "other").await;
            assert!(got.is_err() || !self.has(name), "two nodes have it");
        } else {
            unmount(&self.other, name, "other").await;
        }
    }

    fn power_is_cut(&mut self) {
        self.running.clear();
        let node = &self.world.a;
        node.used.lock().unwrap().clear();
        node.mounts.lock().unwrap().clear();
        node.devices.lock().unwrap().clear();
        *node.docker.lock().unwrap() += 1;
        self.mortal.boot += 1;
        for stored in self.world.cluster.images.lock().unwrap().values_mut() {
            // the lock of a client that is dead is broken
            stored.watcher.take_if(|watcher| watcher == node.name);
        }
    }

    /// What holds at any time.
    async fn check(&mut self) -> Result<(), String> {
        for (container, has) in self.running.clone() {
            if !self.world.a.devices().contains(&has.device)
                || !self.world.a.mounts().contains(&has.at)
            {
                return Err(format!("container {container} has lost {has:?}"));
            }
            let name = volume(container).to_owned();
            if let Err(said) = self.ask(Call::Get { name }).await {
                return Err(format!("Docker hears that a volume in use is gone: {said}"));
            }
        }
        let wrong = self.mortal.wrong.lock().unwrap().clone();
        if wrong.is_empty() { Ok(()) } else { Err(wrong.join(", ")) }
    }

    /// All is well again, and everything is stopped.
    async fn ends_well(&mut self) -> Result<(), String> {
        self.world.silent(false);
        if self.mortal.life.is_over() {
            self.driver_starts().await;
        }
        for container in 0..CONTAINERS {
            self.stop(container).await;
        }
        for v in 0..2 {
            self.elsewhere(volume(v), false).await;
        }
        settle().await;
        self.reconcile().await;
        tokio::time::sleep(std::time::Duration::from_secs(120)).await; // an `rbd map` may still come to its end
        self.reconcile().await;
        let (devices, mounts) = (self.world.a.devices(), self.world.a.mounts());
        if devices.is_empty() && mounts.is_empty() {
            // and each volume can be had again, by the other node
            for v in 0..2 {
                create(&self.other, volume(v), &[]).await?;
                mount(&self.other, &self.world.b, volume(v), "last").await?;
            }
            return Ok(());
        }
        Err(format!("nobody uses it, and it is still held: {devices:?}, {mounts:?}"))
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn whatever_happens_volumes_are_kept_while_used_and_let_go_of_afterwards(events in events()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        let said = runtime.block_on(async {
            let mut docker = Docker::new();
            for (n, event) in events.iter().enumerate() {
                docker.does(event).await;
                docker.check().await.map_err(|why| format!("after {n}, {event:?}: {why}"))?;
            }
            docker.ends_well().await
        });
        prop_assert_eq!(said, Ok(()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_mapping_that_is_there_after_its_driver_was_killed_is_let_go_of() {
    for made_anew in [false, true] {
        let mut docker = Docker::new();
        docker.does(&Event::Anew(0)).await;
        docker.start(0).await;
        docker.stop(0).await;
        settle().await;
        if made_anew {
            docker.does(&Event::Anew(0)).await;
        }
        docker.world.a.mapping.lock().unwrap().insert(volume(0).into());
        docker.does(&Event::Killed(1, false)).await;
        docker.start(0).await;
        assert!(docker.running.is_empty() && docker.world.a.devices().is_empty());
        // the `rbd map` that the driver had started goes on without it, however long Ceph takes
        for _ in 0..3 {
            docker.reconcile().await;
            tokio::time::sleep(std::time::Duration::from_secs(600)).await;
        }
        docker.world.a.map("rbd", volume(0), "exclusive", false).await.unwrap();
        docker.world.a.mapping.lock().unwrap().clear();
        docker.reconcile().await;
        assert_eq!(docker.world.a.devices(), [], "made anew: {made_anew}");
    }
}
