//! Spawner of the transaction pool's tasks, whose failure ends the node.
//!
//! One of the tasks waits on a thread of its own and cannot be interrupted, so at each orderly stop it ends by itself when the pool is
//! dropped. The SDK's spawner takes that for a failure; this one does not.

use futures::{future::BoxFuture, FutureExt as _};
use futures_timer::Delay;
use sc_service::{SpawnEssentialTaskHandle, SpawnTaskHandle, TaskManager};
use sp_core::traits::SpawnEssentialNamed;
use std::{future::Future, panic::AssertUnwindSafe, time::Duration};

/// Time after a task's end for which the node must go on before the end counts as a failure. A stop ends the wait.
const STILL_RUNNING: Duration = Duration::from_secs(1);

/// Spawns the tasks of the pool.
#[derive(Clone)]
pub struct PoolTasks {
    tasks: SpawnTaskHandle,
    essential: SpawnEssentialTaskHandle,
}

impl PoolTasks {
    /// Tasks of `manager`, which stops the node when one of them fails.
    pub fn new(manager: &TaskManager) -> Self {
        Self { tasks: manager.spawn_handle(), essential: manager.spawn_essential_handle() }
    }

    /// Runs `task`; ends the node after it, unless the node is stopping.
    fn watched(
        &self,
        name: &'static str,
        group: Option<&'static str>,
        task: BoxFuture<'static, ()>,
    ) -> impl Future<Output = ()> {
        let essential = self.essential.clone();
        async move {
            // A panic has been printed, and is an end like any other.
            let _ended = AssertUnwindSafe(task).catch_unwind().await;
            // Tokio's own clock panics while the node stops.
            Delay::new(STILL_RUNNING).await;
            // An essential task that ends at once is how the manager is told.
            essential.spawn(name, group, async {});
        }
    }
}

impl SpawnEssentialNamed for PoolTasks {
    fn spawn_essential_blocking(
        &self,
        name: &'static str,
        group: Option<&'static str>,
        future: BoxFuture<'static, ()>,
    ) {
        self.tasks.spawn_blocking(name, group, self.watched(name, group, future));
    }

    fn spawn_essential(
        &self,
        name: &'static str,
        group: Option<&'static str>,
        future: BoxFuture<'static, ()>,
    ) {
        self.tasks.spawn(name, group, self.watched(name, group, future));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_task_that_ends_ends_the_node() {
        for panics in [false, true] {
            let mut manager = TaskManager::new(tokio::runtime::Handle::current(), None).unwrap();
            let task = async move { assert!(!panics, "as a pool might") };
            PoolTasks::new(&manager).spawn_essential("pool", None, task.boxed());
            assert!(manager.future().await.is_err());
        }
    }
}
