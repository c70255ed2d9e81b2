//! The workloads against the fake cluster of `txn`, which has no faults of its own: nothing is wrong while nothing is
//! broken, and much happens.

use std::time::Duration;

use env::Knobs;
use keyspace::NodeId;
use sim::workload::{Bank, Kind, OnCall, OracleWatch, Shift};
use sim::{ClockFaults, Gateway, Gateways, SimHost, World};
use txn::fake::Fake;

#[test]
fn a_healthy_cluster_has_no_violations() {
    for seed in 0..5 {
        let run = || World::run(seed, |world| async move { simulate(&world).await });
        assert_eq!(run(), run(), "seed {seed}");
    }
}

async fn simulate(world: &World) -> (sim::TraceHash, u64) {
    let (bank, on_call, oracle) = (Bank::new(world, 9), OnCall::new(world, 3), OracleWatch::new(world));
    let host = SimHost::start(world, "fake", ClockFaults::default());
    let splits = [bank.split_keys(), on_call.split_keys()].concat();
    let fake = Fake::new(host.env(Knobs::default()), 3, splits);
    let (gateways, shift) = (Gateways::default(), Shift::default());
    for node in 0..3 {
        let txn = fake.client(NodeId(node as u64 + 1));
        gateways.set(node, Some(Gateway { host: host.clone(), txn }));
    }
    let gateway = gateways.get(0).unwrap();
    assert!(bank.open(&gateway).await && on_call.open(&gateway).await);
    for node in 0..3 {
        oracle.start_client(node, &gateways, &shift);
    }
    for client in 0..6 {
        bank.start_client(client, &gateways, &shift);
        on_call.start_client(&gateways, &shift);
    }
    world.sleep(Duration::from_secs(20)).await;
    shift.end();
    world.sleep(Duration::from_secs(20)).await;
    assert_eq!(shift.working(), 0, "all clients come to an end");
    assert!(bank.audit(&gateway).await && on_call.audit(&gateway).await);
    assert_eq!(world.violations(), []);
    assert!(bank.acknowledged() > 300, "{} transfers", bank.acknowledged());
    assert!(bank.reads() > 100, "{} reads", bank.reads());
    (world.trace_hash(), bank.acknowledged())
}

#[test]
fn histories_of_a_healthy_cluster_are_right() {
    for kind in Kind::ALL {
        let run = || World::run(kind as u64, |world| async move { record(&world, kind).await });
        assert_eq!(run(), run(), "{kind}");
    }
}

async fn record(world: &World, kind: Kind) -> sim::TraceHash {
    let recorded = kind.prepare(world, &mut world.split_random());
    let host = SimHost::start(world, "fake", ClockFaults::default());
    let fake = Fake::new(host.env(Knobs::default()), 3, recorded.split_keys());
    let (gateways, shift) = (Gateways::default(), Shift::default());
    for node in 0..3 {
        let txn = fake.client(NodeId(node as u64 + 1));
        gateways.set(node, Some(Gateway { host: host.clone(), txn }));
    }
    for _ in 0..4 {
        recorded.start_client(&gateways, &shift);
    }
    world.sleep(Duration::from_secs(10)).await;
    shift.end();
    world.sleep(Duration::from_secs(20)).await;
    assert_eq!(shift.working(), 0, "all clients come to an end");
    assert!(recorded.read_all(&gateways.get(0).unwrap()).await);
    recorded.judge();
    assert_eq!(world.violations(), []);
    let (acknowledged, judged) = recorded.counts();
    assert!(acknowledged > 300, "{kind}: {acknowledged} of {judged}");
    assert_eq!(checker::judge_text(&recorded.history()).unwrap().judged(), judged, "as a file it is the same");
    world.trace_hash()
}
