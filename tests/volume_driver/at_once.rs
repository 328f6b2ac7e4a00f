//! Many volumes at the same moment: none waits for another.

use tokio::sync::Barrier;

use super::*;

const MANY: usize = 20;

/// Calls that are answered when all of them have come, and not before.
#[derive(Debug)]
pub(crate) struct Together(Barrier);

impl Together {
    pub(crate) async fn all(&self) {
        self.0.wait().await;
    }
}

#[tokio::test(start_paused = true)]
async fn twenty_volumes_are_mounted_and_unmounted_side_by_side() {
    let mut world = World::new();
    let names: Vec<String> = (0..MANY).map(|n| format!("data{n}")).collect();
    {
        let before = world.driver(&world.a);
        for name in &names {
            create(&before, name, &[]).await.unwrap();
            mount(&before, &world.a, name, "first").await.unwrap();
            unmount(&before, name, "first").await;
        }
    }
    settle().await;
    // whoever waits for another call to be over waits for ever: what was asked is not answered in time
    world.a.together = Some(Arc::new(Together(Barrier::new(MANY))));
    let a = world.driver(&world.a);
    let calls = names.iter().map(|name| mount(&a, &world.a, name, "one"));
    for answer in futures_util::future::join_all(calls).await {
        answer.unwrap();
    }
    assert_eq!(world.a.mounts().len(), MANY);
    futures_util::future::join_all(names.iter().map(|name| unmount(&a, name, "one"))).await;
    assert!(world.a.devices().is_empty() && world.a.mounts().is_empty());
}
