//! Whole nodes in one process: they form a cluster, elect, hand out numbers, replicate, and go on when one stops.
#![expect(clippy::disallowed_methods, reason = "a test is its own host")]

use std::time::Duration;

use bytes::Bytes;
use env::Knobs;
use keyspace::{Key, NodeId, TableId, table_span};
use node::{Cluster, ClusterOptions, Disk};
use rpc::KvResult;
use rpc::cluster::{ClusterReply, ClusterRequest, Duty, RangeSurvey, Wish};
use rpc::range::{LockMode, LockSpec, LockWait};
use sql::session::Startup;
use txn::{Isolation, Transaction, TxnError, TxnOptions, Visible};

fn quick() -> Knobs {
    Knobs {
        raft_tick: Duration::from_millis(20),
        node_heartbeat: Duration::from_millis(50),
        node_expiry: Duration::from_secs(1),
        rpc_timeout: Duration::from_millis(500),
        ..Knobs::default()
    }
}

/// `RUST_LOG=info` shows what the nodes say.
fn options(nodes: usize) -> ClusterOptions {
    let filter = tracing_subscriber::EnvFilter::from_default_env();
    let _already = tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().try_init();
    ClusterOptions { nodes, disk: Disk::Memory, knobs: quick() }
}

fn key(name: &str) -> Key {
    let start = table_span(TableId(1000)).start;
    Key::from([&start[..], &[1, 1], name.as_bytes()].concat())
}

const SERIALIZABLE: TxnOptions = TxnOptions {
    isolation: Isolation::Serializable,
    read_only: false,
    as_of: None,
    reads_for: None,
    lock_timeout: None,
};

async fn write(cluster: &Cluster, index: usize, name: &str, value: &str) {
    let txn = cluster.node(index).txn().begin(SERIALIZABLE).await.unwrap();
    txn.put(key(name), Some(Bytes::copy_from_slice(value.as_bytes())), false).unwrap();
    txn.commit().await.unwrap();
}

async fn read(cluster: &Cluster, index: usize, name: &str) -> Option<String> {
    let txn = cluster.node(index).txn().begin(SERIALIZABLE).await.unwrap();
    let found = txn.get_many(&[key(name)], None, Visible::EarlierStatements, false).await.unwrap();
    txn.commit().await.unwrap();
    found[0].as_ref().map(|value| String::from_utf8(value.to_vec()).unwrap())
}

async fn limited<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), future).await.unwrap_or_else(|_| panic!("{what} takes too long"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_node_is_a_cluster() {
    let cluster = limited("starting", Cluster::start(options(1))).await.unwrap();
    write(&cluster, 0, "a", "1").await;
    assert_eq!(read(&cluster, 0, "a").await.as_deref(), Some("1"));
    let status = cluster.node(0).status();
    assert_eq!(status["summary"], "Healthy. One node: start others with --join to survive its loss.");
    cluster.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_replicate_and_survive_the_loss_of_any() {
    let mut cluster = limited("starting", Cluster::start(options(3))).await.unwrap();
    write(&cluster, 0, "a", "1").await;
    for index in 0..3 {
        assert_eq!(read(&cluster, index, "a").await.as_deref(), Some("1"), "on node {index}");
    }
    let mut last = keyspace::Timestamp::ZERO;
    for round in 0..30 {
        let number = cluster.node(round % 3).placement().timestamps().fresh().await.unwrap().first;
        assert!(number > last);
        last = number;
    }
    for index in 0..3 {
        limited("stopping", cluster.stop(index)).await;
        let others = [(index + 1) % 3, (index + 2) % 3];
        limited("writing without one", write(&cluster, others[0], "a", &format!("without {index}"))).await;
        let seen = limited("reading without one", read(&cluster, others[1], "a")).await;
        assert_eq!(seen, Some(format!("without {index}")));
        limited("restarting", cluster.restart(index)).await.unwrap();
        assert_eq!(limited("reading again", read(&cluster, index, "a")).await, seen);
    }
    limited("stopping all", cluster.shut_down()).await;
}

/// Which node leads the system range, as the nodes that can see each other say.
async fn leader_of_system_range(cluster: &Cluster, among: &[usize]) -> usize {
    loop {
        let leads = |index: &&usize| cluster.node(**index).placement().survey().is_some();
        if let Some(index) = among.iter().find(leads) {
            return *index;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_isolated_oracle_answers_nobody_and_another_takes_over() {
    let cluster = limited("starting", Cluster::start(options(3))).await.unwrap();
    let old = leader_of_system_range(&cluster, &[0, 1, 2]).await;
    let others: Vec<usize> = (0..3).filter(|index| *index != old).collect();
    let before = cluster.node(old).placement().timestamps().fresh().await.unwrap().first;
    cluster.network().isolate(&[cluster.address(old)]);

    let begin = std::time::Instant::now();
    let after = limited("taking over", cluster.node(others[0]).placement().timestamps().fresh()).await.unwrap().first;
    assert!(after > before);
    println!("a number after {:?}", begin.elapsed());
    limited("writing", write(&cluster, others[1], "a", "after")).await;
    // Nothing the isolated node could say would be true.
    let isolated = cluster.node(old).placement().timestamps();
    let answer = tokio::time::timeout(Duration::from_millis(500), isolated.fresh()).await;
    assert!(answer.is_err() || answer.is_ok_and(|answer| answer.is_err()));

    cluster.network().heal();
    let healed = limited("healing", cluster.node(old).placement().timestamps().fresh()).await.unwrap().first;
    assert!(healed > after);
    assert_eq!(limited("reading", read(&cluster, old, "a")).await.as_deref(), Some("after"));
    limited("stopping", cluster.shut_down()).await;
}

async fn lock(txn: &Transaction, name: &str) -> Result<(), TxnError> {
    let spec = LockSpec { mode: LockMode::Update, wait: LockWait::Block { timeout: None }, absent_too: true };
    match txn.get_many(&[key(name)], Some(spec), Visible::EarlierStatements, false).await {
        Ok(_) | Err(TxnError::StatementRestart { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadlock_over_two_nodes_is_broken() {
    let cluster = limited("starting", Cluster::start(options(3))).await.unwrap();
    limited("splitting", cluster.node(0).txn().split_at(key("m"))).await.unwrap();
    limited("replicating the halves", cluster.until_replicated()).await;
    let led_apart = || {
        let survey = cluster.running().find_map(|node| node.placement().survey())?;
        let leader_of =
            |name: &str| survey.ranges.iter().find(|range| range.descriptor.span.contains(&key(name)))?.leader;
        Some(leader_of("a")? != leader_of("z")?)
    };
    limited("spreading leaders", async {
        while led_apart() != Some(true) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let one = cluster.node(0).txn().begin(SERIALIZABLE).await.unwrap();
    let two = cluster.node(1).txn().begin(SERIALIZABLE).await.unwrap();
    limited("locking", async { lock(&one, "a").await.and(lock(&two, "z").await) }).await.unwrap();
    let crossed = async {
        tokio::join!(lock(&one, "z"), async {
            let outcome = lock(&two, "a").await;
            // The victim's locks are given up, as `sql` does it, and the other goes on.
            if outcome.is_err() {
                two.rollback().await;
            }
            outcome
        })
    };
    let (first, second) = limited("breaking the deadlock", crossed).await;
    assert_eq!(first, Ok(()), "the older one goes on");
    assert!(matches!(second, Err(TxnError::Deadlock { .. })), "the younger one gives way: {second:?}");
    one.rollback().await;
    limited("stopping", cluster.shut_down()).await;
}

fn survey(cluster: &Cluster) -> rpc::cluster::Survey {
    cluster.running().find_map(|node| node.placement().survey()).unwrap_or_default()
}

/// The ranges of user data as the leader of the system range sees them, by their first keys.
fn user_ranges(cluster: &Cluster) -> Vec<RangeSurvey> {
    survey(cluster).ranges.into_iter().filter(|range| range.descriptor.id != keyspace::SYSTEM_RANGE).collect()
}

async fn until(what: &str, mut done: impl FnMut() -> bool) {
    limited(what, async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
}

async fn ranges_split_by_size(nodes: usize) {
    let mut options = options(nodes);
    options.knobs.range_bytes_max = 20_000;
    let cluster = limited("starting", Cluster::start(options)).await.unwrap();
    let value = "v".repeat(1000);
    for batch in 0..10 {
        let txn = cluster.node(0).txn().begin(SERIALIZABLE).await.unwrap();
        for row in 0..20 {
            txn.put(key(&format!("{batch:02}/{row:02}")), Some(Bytes::from(value.clone())), false).unwrap();
        }
        txn.commit().await.unwrap();
    }
    until("splitting", || {
        let ranges = user_ranges(&cluster);
        let bytes: u64 = ranges.iter().map(|range| range.size_bytes).sum();
        // 200 rows of a little more than 1,000 bytes: what is said of the sizes has to add up to that.
        ranges.len() > 9 && ranges.iter().all(|range| range.size_bytes <= 20_000) && (203_000..206_000).contains(&bytes)
    })
    .await;
    let ranges = user_ranges(&cluster);
    assert!(ranges.iter().all(|range| range.size_bytes >= 5_000), "{ranges:?}");
    assert!(ranges.iter().skip(1).all(|range| range.descriptor.span.start.len() == key("00/00").len()), "at rows");
    for row in ["00/00", "04/19", "09/19"] {
        assert_eq!(read(&cluster, 0, row).await.as_deref(), Some(&value[..]));
    }
    cluster.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_ranges_are_split_on_one_node() {
    ranges_split_by_size(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_ranges_are_split_on_three_nodes() {
    ranges_split_by_size(3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn busy_ranges_are_split_where_that_halves_the_load() {
    let mut options = options(3);
    (options.knobs.range_load_max, options.knobs.range_load_seconds) = (20, 2);
    let cluster = limited("starting", Cluster::start(options)).await.unwrap();
    for row in 0..20 {
        write(&cluster, 0, &format!("{row:02}"), "1").await;
    }
    let hammer = async |rows: u64, time: Duration| {
        let begin = tokio::time::Instant::now();
        for number in 0.. {
            if begin.elapsed() > time || user_ranges(&cluster).len() > 1 {
                return;
            }
            read(&cluster, 0, &format!("{:02}", number % rows)).await;
        }
    };
    // What was written is not what is hammered on.
    tokio::time::sleep(Duration::from_secs(2)).await;
    hammer(1, Duration::from_secs(4)).await;
    assert_eq!(user_ranges(&cluster).len(), 1, "a key cannot be halved");
    hammer(20, Duration::from_secs(20)).await;
    let ranges = user_ranges(&cluster);
    let cut = ranges[1].descriptor.span.start.clone();
    assert!(key("05") < cut && cut < key("15"), "{cut}");
    cluster.shut_down().await;
}

/// Leaders and replicas of a node, as the leader of the system range sees them.
fn holds(cluster: &Cluster, node: u64) -> (usize, usize) {
    let ranges = survey(cluster).ranges;
    let leads = ranges.iter().filter(|range| range.leader == Some(NodeId(node))).count();
    let has = |range: &&RangeSurvey| range.descriptor.replicas.iter().any(|replica| replica.node == NodeId(node));
    (leads, ranges.iter().filter(has).count())
}

async fn ask(cluster: &Cluster, request: ClusterRequest) -> KvResult<ClusterReply> {
    let node = cluster.running().next().expect("a node runs").clone();
    limited("asking the leader", node.placement().leader().ask(|| request.clone())).await
}

async fn set_duty(cluster: &Cluster, node: u64, duty: Duty) {
    ask(cluster, ClusterRequest::SetDuty { node: NodeId(node), duty }).await.unwrap();
}

async fn connect(cluster: &Cluster, index: usize) -> Result<(), String> {
    let startup = Startup { user: "root".into(), database: "cairn".into(), ..Startup::default() };
    cluster.node(index).sql().connect(startup).await.map(drop).map_err(|error| error.0.message)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_are_drained_and_decommissioned() {
    let mut cluster = limited("starting", Cluster::start(options(4))).await.unwrap();
    write(&cluster, 0, "a", "1").await;
    for at in ["b", "c", "d", "e", "f"] {
        cluster.node(0).txn().split_at(key(at)).await.unwrap();
    }
    until("spreading leaders", || (1..=4).all(|node| holds(&cluster, node).0 > 0)).await;

    set_duty(&cluster, 2, Duty::Drains { life: Default::default() }).await;
    until("draining", || holds(&cluster, 2).0 == 0 && cluster.node(1).ready().is_err()).await;
    assert_eq!(connect(&cluster, 1).await, Err("the node is being drained".to_owned()));
    assert_eq!(connect(&cluster, 0).await, Ok(()));
    assert!(holds(&cluster, 2).1 > 0, "its replicas stay");
    assert_eq!(read(&cluster, 2, "a").await.as_deref(), Some("1"));
    cluster.stop(1).await;
    cluster.restart(1).await.unwrap();
    until("serving again", || holds(&cluster, 2).0 > 0).await;
    assert_eq!(connect(&cluster, 1).await, Ok(()), "draining ended with the process");

    set_duty(&cluster, 4, Duty::Leaves).await;
    until("giving everything away", || holds(&cluster, 4) == (0, 0)).await;
    assert!(survey(&cluster).ranges.iter().all(|range| range.descriptor.replicas.len() == 3));
    cluster.stop(3).await;
    until("forgetting it", || survey(&cluster).nodes.len() == 3).await;
    set_duty(&cluster, 3, Duty::Leaves).await;
    until("giving the leaders away", || holds(&cluster, 3).0 == 0).await;
    let Ok(ClusterReply::Duties { duties }) = ask(&cluster, ClusterRequest::Duties).await else { panic!() };
    let status = duties.iter().find(|status| status.node == NodeId(3)).unwrap();
    assert_eq!(
        status.why_it_stays.as_deref(),
        Some("no other live node can take a replica of r1: start one more"),
        "{duties:?}"
    );
    assert_eq!(read(&cluster, 0, "a").await.as_deref(), Some("1"));
    cluster.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_and_leaders_are_moved_by_hand() {
    let cluster = limited("starting", Cluster::start(options(4))).await.unwrap();
    write(&cluster, 0, "a", "1").await;
    let range = |cluster: &Cluster| user_ranges(cluster)[0].clone();
    let before = range(&cluster);
    let id = before.descriptor.id;
    let on: Vec<NodeId> = before.descriptor.replicas.iter().map(|replica| replica.node).collect();
    let to = (1..=4).map(NodeId).find(|node| !on.contains(node)).unwrap();
    let from = before.leader.unwrap();
    let refused = ask(&cluster, ClusterRequest::Move { range: id, wish: Wish::Leader { on: to } }).await;
    assert_eq!(refused.unwrap_err().to_string(), format!("{to} has no replica of {id} that votes"));

    ask(&cluster, ClusterRequest::Move { range: id, wish: Wish::Replica { from, to } }).await.unwrap();
    until("moving the leader's own replica", || {
        let now: Vec<NodeId> = range(&cluster).descriptor.replicas.iter().map(|replica| replica.node).collect();
        now.len() == 3 && now.contains(&to) && !now.contains(&from)
    })
    .await;
    ask(&cluster, ClusterRequest::Move { range: id, wish: Wish::Leader { on: to } }).await.unwrap();
    until("moving the leader", || range(&cluster).leader == Some(to)).await;
    assert_eq!(read(&cluster, 0, "a").await.as_deref(), Some("1"));

    let mut log: Vec<_> = cluster.running().flat_map(|node| node.placement().log()).collect();
    log.retain(|line| line.range == id && line.why == "an operator moves it");
    let actions: Vec<&str> = log.iter().map(|line| line.action.as_str()).collect();
    assert_eq!(actions.first(), Some(&format!("a learner on {to}").as_str()), "{actions:?}");
    assert!(actions.contains(&format!("{to} in place of {from}").as_str()), "{actions:?}");
    cluster.shut_down().await;
}
