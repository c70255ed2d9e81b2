//! The ground that simulated nodes stand on: hosts, wires, time, and one hash for one seed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use env::{Env, Knobs};
use keyspace::{NodeId, Timestamp};
use rpc::cluster::{ClusterReply, ClusterRequest, NodeInfo, TimestampReply};
use rpc::{KvError, Network, NetworkError, RaftEnvelope, Request, Response, Service, Transport};
use sim::{ClockFaults, LinkFaults, SimEndpoint, SimHost, SimNetwork, TraceHash, World};

/// Answers `Timestamps { count }` after `count` milliseconds with how many requests it has seen.
struct Counter {
    env: Env,
    seen: AtomicU64,
    raft: AtomicU64,
}

impl Service for Counter {
    fn call(&self, _from: NodeId, request: Request) -> rpc::BoxFuture<'_, Response> {
        let seen = self.seen.fetch_add(1, Ordering::SeqCst) + 1;
        Box::pin(async move {
            let Request::Cluster(ClusterRequest::Timestamps { count }) = request else {
                return Response::Cluster(Err(KvError::OracleUnavailable));
            };
            self.env.sleep(Duration::from_millis(u64::from(count))).await;
            let reply = TimestampReply { first: Timestamp(seen), count, catalog: Timestamp::ZERO, unsettled: false };
            Response::Cluster(Ok(ClusterReply::Timestamps(reply)))
        })
    }

    fn raft(&self, _from: NodeId, envelopes: Vec<RaftEnvelope>) {
        self.raft.fetch_add(envelopes.len() as u64, Ordering::SeqCst);
    }
}

struct Process {
    host: Arc<SimHost>,
    env: Env,
    endpoint: Arc<SimEndpoint>,
    counter: Arc<Counter>,
}

fn address(node: u64) -> String {
    format!("n{node}")
}

fn start(world: &World, network: &SimNetwork, node: u64) -> Process {
    let host = SimHost::start(world, &address(node), ClockFaults::default());
    let env = host.env(Knobs::default());
    let endpoint = network.endpoint(&address(node), &host);
    let counter = Arc::new(Counter { env: env.clone(), seen: AtomicU64::new(0), raft: AtomicU64::new(0) });
    let info = |node| NodeInfo {
        node: NodeId(node),
        rpc_address: address(node),
        sql_address: String::new(),
        http_address: String::new(),
        silent_ms: 0,
        live: true,
    };
    endpoint.serve(counter.clone());
    endpoint.identify(7, NodeId(node));
    endpoint.learn(&[info(1), info(2), info(3)]);
    Process { host, env, endpoint, counter }
}

impl Process {
    async fn ask(&self, to: u64, wait_ms: u32) -> Result<u64, NetworkError> {
        let request = Request::Cluster(ClusterRequest::Timestamps { count: wait_ms });
        match self.endpoint.call(NodeId(to), request).await? {
            Response::Cluster(Ok(ClusterReply::Timestamps(reply))) => Ok(reply.first.0),
            other => panic!("another answer: {other:?}"),
        }
    }
}

const FAULTY: LinkFaults = LinkFaults {
    delay_min: Duration::ZERO,
    delay_max: Duration::from_millis(50),
    loss: 0.1,
    duplicate: 0.1,
    replay: 0.1,
};

/// Three processes that ask each other for a minute while they crash, pause and lose each other.
fn chatter(seed: u64) -> (TraceHash, u64) {
    World::run(seed, |world| async move {
        let network = SimNetwork::new(&world);
        network.set_faults(FAULTY);
        let mut random = world.split_random();
        let mut processes: Vec<Process> = (1..=3).map(|node| start(&world, &network, node)).collect();
        for _ in 0..60 {
            for process in &processes {
                let (endpoint, env) = (process.endpoint.clone(), process.env.clone());
                process.env.spawn("chat", async move {
                    let to = NodeId(1 + env.random_below(3));
                    let request = Request::Cluster(ClusterRequest::Timestamps { count: env.random_below(20) as u32 });
                    let _lost = env.timeout(Duration::from_secs(1), endpoint.call(to, request)).await;
                });
            }
            world.sleep(Duration::from_millis(random.between(1, 2000))).await;
            let victim = random.below(3) as usize;
            match random.below(6) {
                0 => {
                    processes[victim].host.crash();
                    processes[victim] = start(&world, &network, victim as u64 + 1);
                }
                1 => processes[victim].host.pause(),
                2 => processes[victim].host.resume(),
                3 => network.partition(&[&address(victim as u64 + 1)], &["n1", "n2", "n3"]),
                4 => network.heal(),
                _ => network.set_faults(FAULTY),
            }
        }
        assert_eq!(world.violations(), []);
        (world.trace_hash(), world.event_count())
    })
}

#[test]
fn one_seed_has_one_hash() {
    let mut hashes = Vec::new();
    for seed in 0..20 {
        let first = chatter(seed);
        assert!(first.1 > 150, "something happens: {} events", first.1);
        assert_eq!(first, chatter(seed), "seed {seed}");
        hashes.push(first.0.0);
    }
    hashes.sort_unstable();
    hashes.dedup();
    assert_eq!(hashes.len(), 20, "each seed is another story");
}

#[test]
fn a_crash_ends_tasks_and_closes_connections() {
    World::run(1, |world| async move {
        let network = SimNetwork::new(&world);
        let (one, two) = (start(&world, &network, 1), start(&world, &network, 2));
        let steps = Arc::new(AtomicU64::new(0));
        let (env, counted) = (two.env.clone(), steps.clone());
        two.env.spawn("ticks", async move {
            loop {
                env.sleep(Duration::from_millis(10)).await;
                counted.fetch_add(1, Ordering::SeqCst);
            }
        });
        let asked = async {
            let answer = one.ask(2, 500).await;
            (answer, world.elapsed())
        };
        let crash = async {
            world.sleep(Duration::from_millis(105)).await;
            two.host.crash();
        };
        let ((answer, when), ()) = tokio::join!(asked, crash);
        assert_eq!(answer, Err(NetworkError::Unreachable(NodeId(2))));
        assert!(when < Duration::from_millis(120), "at once, not after a time-out: {when:?}");
        world.sleep(Duration::from_secs(1)).await;
        assert_eq!(steps.load(Ordering::SeqCst), 10);
        assert_eq!(one.ask(2, 0).await, Err(NetworkError::Unreachable(NodeId(2))));
        let restarted = start(&world, &network, 2);
        assert_eq!(one.ask(2, 0).await, Ok(1), "a new life begins from nothing");
        drop(restarted);
    });
}

#[test]
fn a_paused_process_answers_late() {
    World::run(1, |world| async move {
        let network = SimNetwork::new(&world);
        let (one, two) = (start(&world, &network, 1), start(&world, &network, 2));
        two.host.pause();
        let asked = async {
            let answer = one.ask(2, 0).await;
            (answer, world.elapsed())
        };
        let resume = async {
            world.sleep(Duration::from_secs(3)).await;
            two.host.resume();
        };
        let ((answer, when), ()) = tokio::join!(asked, resume);
        assert_eq!(answer, Ok(1));
        assert!(when >= Duration::from_secs(3));
    });
}

#[test]
fn messages_are_lost_repeated_and_cut_off() {
    World::run(1, |world| async move {
        let network = SimNetwork::new(&world);
        let (one, two) = (start(&world, &network, 1), start(&world, &network, 2));
        network.partition(&["n1"], &["n2"]);
        let begin = world.elapsed();
        assert_eq!(one.ask(2, 0).await, Err(NetworkError::Unreachable(NodeId(2))));
        assert!(world.elapsed() - begin >= Duration::from_secs(5), "a lost message is silence, not an answer");
        network.heal();
        network.cut("n2", "n1");
        assert_eq!(one.ask(2, 0).await, Err(NetworkError::Unreachable(NodeId(2))));
        assert_eq!(two.counter.seen.load(Ordering::SeqCst), 1, "the request arrived, its answer did not");

        network.heal();
        network.set_faults(LinkFaults { duplicate: 1.0, replay: 1.0, ..LinkFaults::default() });
        for _ in 0..20 {
            assert!(one.ask(2, 0).await.is_ok());
        }
        world.sleep(Duration::from_secs(1)).await;
        let seen = two.counter.seen.load(Ordering::SeqCst) - 1;
        assert_eq!(seen, 60, "each came twice, and with each an old one");
    });
}

#[test]
fn a_panic_is_a_violation_and_ends_the_process() {
    World::run(1, |world| async move {
        let network = SimNetwork::new(&world);
        let one = start(&world, &network, 1);
        one.env.spawn("unlucky", async { panic!("an impossible state") });
        world.sleep(Duration::from_millis(1)).await;
        assert!(!one.host.is_running());
        let violations = world.violations();
        assert_eq!(violations.len(), 1);
        assert!(violations[0].to_string().contains("n1 in unlucky: an impossible state"), "{}", violations[0]);
    });
}

#[test]
fn clocks_may_be_wrong() {
    World::run(1, |world| async move {
        let faults = ClockFaults { rate: 1.01, wall_offset_ms: -3_600_000 };
        let (good, bad) =
            (SimHost::start(&world, "good", ClockFaults::default()), SimHost::start(&world, "bad", faults));
        let (good, bad) = (good.env(Knobs::default()), bad.env(Knobs::default()));
        let (good_begin, bad_begin) = (good.now(), bad.now());
        assert_eq!(good.wall_ms() - bad.wall_ms(), 3_600_000);
        bad.sleep(Duration::from_secs(101)).await;
        assert_eq!(world.elapsed().as_secs(), 100);
        assert_eq!(good.now().since(good_begin).as_millis(), 100_000);
        assert_eq!(bad.now().since(bad_begin).as_millis(), 101_000);
    });
}
