//! A fleet and its Keystone.

use std::{thread, time::Duration};

use http::Response;
use tokio::runtime::Runtime;
use tower_keystone::fixture::{Cloud, Fault, ServedCloud};

use crate::{
    fleet::{Done, Fleet},
    place::Place,
};

/// A fleet and its Keystone.
pub(crate) struct Setup {
    pub(crate) cloud: Cloud,
    pub(crate) fleet: Fleet,
    _served: ServedCloud,
}

/// How long a login takes.
const LOGIN: Duration = Duration::from_millis(300);

impl Setup {
    /// Creates a fleet without processes.
    pub(crate) fn new(runtime: &Runtime, place: &Place, answer_timeout: Duration) -> Self {
        Self::with_slow_logins(runtime, place, answer_timeout, 0, LOGIN)
    }

    /// Creates a fleet without processes, whose first logins take the time `slow`.
    pub(crate) fn with_slow_logins(
        runtime: &Runtime,
        place: &Place,
        answer_timeout: Duration,
        count: usize,
        slow: Duration,
    ) -> Self {
        let cloud = Cloud::new([("compute", "nova")]).user("alice", "wonderland").project("demo");
        cloud.respond("compute", Response::new("{}"));
        let served = runtime.block_on(cloud.serve()).unwrap();
        cloud.fail_next("identity", count, Fault::latency(slow).only_logins());
        cloud.fail_for("identity", Duration::from_secs(3600), Fault::latency(LOGIN).only_logins());
        let fleet = Fleet::new(&cloud.keystone().auth_url(), &place.settings(), answer_timeout);
        Self { cloud, fleet, _served: served }
    }

    pub(crate) fn logins(&self) -> usize {
        self.cloud.keystone().logins()
    }

    /// Makes one request in each process that is alive. All succeed.
    pub(crate) fn get_one_each(&mut self) -> Vec<Done> {
        self.fleet.send_get(&self.fleet.alive(), 1);
        self.wait_done()
    }

    /// Waits until the processes that are alive have made one request. All succeed.
    pub(crate) fn wait_done(&mut self) -> Vec<Done> {
        let done = self.fleet.wait_done(&self.fleet.alive());
        assert!(done.iter().all(|done| done.succeeded == 1), "{done:?}");
        done
    }

    /// Waits until the processes have made this many requests.
    pub(crate) fn wait_for_requests(&self, count: usize) {
        wait_for(|| self.cloud.requests_to("compute") >= count);
    }

    /// Returns the number of the process that logs in, when Keystone has received this many logins.
    pub(crate) fn wait_login(&mut self, logins: usize) -> usize {
        let holder = self.fleet.wait_login();
        wait_for(|| self.logins() >= logins);
        holder
    }
}

fn wait_for(is_done: impl Fn() -> bool) {
    while !is_done() {
        thread::sleep(Duration::from_millis(1));
    }
}
