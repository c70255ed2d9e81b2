//! A flash sale: many want the same few things at once.
//!
//! Customers place orders, which take from an item's stock; orders are paid out of a customer's credit, sometimes by two clients
//! at the same moment, or cancelled, which gives the stock back. Items, customers, orders and payments lie in several
//! ranges, and half of all orders are for one item. While it runs and at the end this must hold:
//!
//! * no item is sold more often than there were pieces, and what is ordered and what is left is what there was;
//! * an order that is paid has one payment, of its total, and no other order has any;
//! * credit and payments together are what the customers had;
//! * what was acknowledged is there, and what failed is not.
//!
//! No constraint of the schema helps: stock and credit may go below zero, an order may have any number of payments.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use rand::{Rng, SeedableRng, rngs::StdRng};
use tokio_postgres::Config;

use super::session::{Ended, READ_ONLY, SERIALIZABLE, Session, Stop, number};
use crate::Failure;
use crate::connect::{self, Target};

const FIRST_CREDIT: i64 = 100_000;

/// Ids of orders and payments are drawn from below this, so that they spread over ranges.
const IDS: i64 = 1 << 62;

/// A server may take as long to come back.
const LAST_READS_MAX: Duration = Duration::from_secs(120);

#[derive(clap::Args)]
pub struct InitArguments {
    #[command(flatten)]
    target: Target,
    /// Number of items
    #[arg(long, default_value_t = 20)]
    items: u32,
    /// Pieces of each item
    #[arg(long, default_value_t = 5000)]
    stock: u32,
    /// Number of customers, each with a credit of 100,000
    #[arg(long, default_value_t = 1000)]
    customers: u32,
}

#[derive(clap::Args)]
pub struct RunArguments {
    /// Where to connect to, as `postgresql://USER@HOST:PORT/DATABASE`; several for the nodes of a cluster [default: from PGHOST,
    /// PGPORT, …, else root@127.0.0.1:15432/cairn]
    #[arg(value_name = "URL")]
    urls: Vec<String>,
    /// Concurrent connections
    #[arg(long, default_value_t = 64)]
    clients: u32,
    /// Seconds to run
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// Seed of what is bought by whom
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

pub async fn init(arguments: InitArguments) -> Result<(), Failure> {
    if arguments.items < 2 || arguments.customers < 2 {
        return Err(Failure::new("a shop needs two items and two customers at least"));
    }
    let client = connect::connect(&arguments.target.config()?).await?;
    client
        .batch_execute(
            "DROP TABLE IF EXISTS shop_payments, shop_orders, shop_items, shop_customers;
             CREATE TABLE shop_items (id int PRIMARY KEY, price bigint NOT NULL, first_stock bigint NOT NULL, stock bigint NOT NULL);
             CREATE TABLE shop_customers (id int PRIMARY KEY, first_credit bigint NOT NULL, credit bigint NOT NULL);
             CREATE TABLE shop_orders (id bigint PRIMARY KEY, customer int NOT NULL REFERENCES shop_customers,
                 item int NOT NULL REFERENCES shop_items, quantity bigint NOT NULL, total bigint NOT NULL, state text NOT NULL);
             CREATE TABLE shop_payments (id bigint PRIMARY KEY, order_id bigint NOT NULL REFERENCES shop_orders, amount bigint NOT NULL);
             CREATE INDEX ON shop_payments (order_id)",
        )
        .await?;
    let (items, stock, customers) = (arguments.items, arguments.stock, arguments.customers);
    client
        .batch_execute(&format!(
            "INSERT INTO shop_items SELECT id, 5 + id % 7, {stock}, {stock} FROM generate_series(0, {items} - 1) id;
             INSERT INTO shop_customers SELECT id, {FIRST_CREDIT}, {FIRST_CREDIT} FROM generate_series(0, {customers} - 1) id"
        ))
        .await?;
    let quarters = [IDS / 4, IDS / 2, IDS / 4 * 3].map(|id| format!("({id})")).join(", ");
    let splits = [
        ("shop_items", format!("({})", items / 2)),
        ("shop_customers", format!("({})", customers / 2)),
        ("shop_orders", quarters.clone()),
        ("shop_payments", quarters),
    ];
    let mut is_split = true;
    for (table, values) in splits {
        match client.batch_execute(&format!("ALTER TABLE {table} SPLIT AT VALUES {values}")).await {
            Ok(()) => {}
            // PostgreSQL has no ranges.
            Err(error) if error.as_db_error().is_some() => is_split = false,
            Err(error) => return Err(connect::describe(&error)),
        }
    }
    let split = if is_split { ", each table split into ranges" } else { "" };
    println!("shop: {items} items with {stock} pieces each, {customers} customers{split}");
    Ok(())
}

pub async fn run(arguments: RunArguments) -> Result<(), Failure> {
    let configs = configs(&arguments.urls)?;
    let (items, customers) = size(&configs[0]).await?;
    let begin = Instant::now();
    let shop = Shop {
        configs,
        items,
        customers,
        end: begin + Duration::from_secs(arguments.seconds),
        told: RefCell::new(Told::new(begin)),
        open_orders: RefCell::default(),
    };
    let clients = (0..arguments.clients).map(|number| shop.client(number, arguments.seed));
    let (outcomes, ()) = tokio::join!(futures::future::join_all(clients), shop.show_progress(begin, arguments.seconds));
    outcomes.into_iter().collect::<Result<(), Failure>>()?;
    shop.print(begin.elapsed());
    shop.verify().await
}

fn configs(urls: &[String]) -> Result<Vec<Config>, Failure> {
    if urls.is_empty() {
        return Ok(vec![Target::default().config()?]);
    }
    urls.iter().map(|url| Target { url: Some(url.clone()) }.config()).collect()
}

async fn size(config: &Config) -> Result<(i32, i32), Failure> {
    let client = connect::connect(config).await?;
    let counts = "SELECT (SELECT count(*) FROM shop_items)::int, (SELECT count(*) FROM shop_customers)::int";
    let row = client.query_one(counts, &[]).await;
    let row = row.map_err(|_| Failure::new("there is no shop here: run `cairn workload init shop` first"))?;
    Ok((row.get(0), row.get(1)))
}

/// All clients are polled by one task, as everything they wait for is the server.
struct Shop {
    configs: Vec<Config>,
    items: i32,
    customers: i32,
    end: Instant,
    told: RefCell<Told>,
    /// Orders that may still be placed and not paid.
    open_orders: RefCell<Vec<i64>>,
}

/// What clients were told.
struct Told {
    placed: BTreeMap<i64, Fate>,
    /// By the payment's id: which order.
    payments: BTreeMap<i64, (i64, Fate)>,
    cancelled: BTreeMap<i64, Fate>,
    looks: u64,
    reasons: BTreeMap<String, u64>,
    last_ok: Instant,
    worst_gap: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Ok,
    Failed,
    Unknown,
}

impl Told {
    fn new(begin: Instant) -> Told {
        Told {
            placed: BTreeMap::new(),
            payments: BTreeMap::new(),
            cancelled: BTreeMap::new(),
            looks: 0,
            reasons: BTreeMap::new(),
            last_ok: begin,
            worst_gap: Duration::ZERO,
        }
    }

    fn fate(&mut self, ended: Result<(), Ended>) -> Fate {
        let (fate, why) = match ended {
            Ok(()) => {
                let now = Instant::now();
                self.worst_gap = self.worst_gap.max(now - self.last_ok);
                self.last_ok = now;
                return Fate::Ok;
            }
            Err(Ended::Failed(why)) => (Fate::Failed, why),
            Err(Ended::Unknown(why)) => (Fate::Unknown, why),
        };
        *self.reasons.entry(why).or_default() += 1;
        fate
    }
}

fn violation(what: impl std::fmt::Display) -> Failure {
    Failure::new(format!("VIOLATION: {what}"))
}

impl Shop {
    async fn client(&self, client: u32, seed: u64) -> Result<(), Failure> {
        let mut rng = StdRng::seed_from_u64(seed << 16 | u64::from(client));
        let mut node = client as usize;
        let mut session: Option<Session> = None;
        while Instant::now() < self.end {
            let connected = match session.take() {
                Some(connected) => connected,
                None => match self.connect(&mut node).await {
                    Some(connected) => connected,
                    None => continue,
                },
            };
            match rng.random_range(0..100) {
                0..50 => self.place(&connected, &mut rng).await,
                50..85 => self.pay(&connected, &mut rng).await,
                85..95 => self.cancel(&connected, &mut rng).await,
                _ => self.look(&connected).await?,
            }
            session = (!connected.is_broken()).then_some(connected);
        }
        Ok(())
    }

    /// The next node each time.
    async fn connect(&self, node: &mut usize) -> Option<Session> {
        let config = &self.configs[*node % self.configs.len()];
        *node += 1;
        match tokio::time::timeout(Duration::from_secs(5), connect::connect(config)).await {
            Ok(Ok(client)) => Some(Session::new(client)),
            _ => {
                tokio::time::sleep(Duration::from_millis(50)).await;
                None
            }
        }
    }

    async fn place(&self, session: &Session, rng: &mut StdRng) {
        let id = rng.random_range(0..IDS);
        // What is on sale is what everybody wants.
        let item = if rng.random_bool(0.5) { 0 } else { rng.random_range(0..self.items) };
        let (customer, quantity) = (rng.random_range(0..self.customers), rng.random_range(1..=3));
        let placed = session
            .transact(SERIALIZABLE, async |session| {
                let take = format!(
                    "UPDATE shop_items SET stock = stock - {quantity} WHERE id = {item} AND stock >= {quantity} RETURNING price"
                );
                let taken = session.query(&take).await?;
                let Some(price) = taken.rows.first() else { return Err(Stop::Unwanted("sold out")) };
                let total = number::<i64>(price, 0)? * quantity;
                let order = format!(
                    "INSERT INTO shop_orders VALUES ({id}, {customer}, {item}, {quantity}, {total}, 'placed')"
                );
                session.query(&order).await.map(|_| ())
            })
            .await;
        let mut told = self.told.borrow_mut();
        let fate = told.fate(placed);
        told.placed.insert(id, fate);
        if fate != Fate::Failed {
            self.open_orders.borrow_mut().push(id);
        }
    }

    /// An order that somebody may be about to pay or cancel at the same moment.
    fn open_order(&self, rng: &mut StdRng) -> Option<i64> {
        let mut open = self.open_orders.borrow_mut();
        if open.is_empty() {
            return None;
        }
        let at = rng.random_range(0..open.len());
        // Some stay in the list: they are paid twice, if that can be done.
        Some(if rng.random_bool(0.3) { open[at] } else { open.swap_remove(at) })
    }

    async fn pay(&self, session: &Session, rng: &mut StdRng) {
        let Some(order) = self.open_order(rng) else { return };
        let id = rng.random_range(0..IDS);
        let paid = session
            .transact(SERIALIZABLE, async |session| {
                let find = format!(
                    "SELECT customer, total FROM shop_orders WHERE id = {order} AND state = 'placed' FOR UPDATE"
                );
                let found = session.query(&find).await?;
                let Some(row) = found.rows.first() else { return Err(Stop::Unwanted("the order is not open")) };
                let (customer, total): (i32, i64) = (number(row, 0)?, number(row, 1)?);
                let take = format!(
                    "UPDATE shop_customers SET credit = credit - {total} WHERE id = {customer} AND credit >= {total}"
                );
                if session.query(&take).await?.affected == 0 {
                    return Err(Stop::Unwanted("no credit"));
                }
                session.query(&format!("INSERT INTO shop_payments VALUES ({id}, {order}, {total})")).await?;
                session.query(&format!("UPDATE shop_orders SET state = 'paid' WHERE id = {order}")).await.map(|_| ())
            })
            .await;
        let mut told = self.told.borrow_mut();
        let fate = told.fate(paid);
        told.payments.insert(id, (order, fate));
    }

    async fn cancel(&self, session: &Session, rng: &mut StdRng) {
        let Some(order) = self.open_order(rng) else { return };
        let cancelled = session
            .transact(SERIALIZABLE, async |session| {
                let find = format!(
                    "UPDATE shop_orders SET state = 'cancelled' WHERE id = {order} AND state = 'placed' RETURNING item, quantity"
                );
                let found = session.query(&find).await?;
                let Some(row) = found.rows.first() else { return Err(Stop::Unwanted("the order is not open")) };
                let (item, quantity): (i32, i64) = (number(row, 0)?, number(row, 1)?);
                let give = format!("UPDATE shop_items SET stock = stock + {quantity} WHERE id = {item}");
                session.query(&give).await.map(|_| ())
            })
            .await;
        let mut told = self.told.borrow_mut();
        let fate = told.fate(cancelled);
        if fate != Fate::Failed {
            told.cancelled.insert(order, fate);
        }
    }

    /// All of it at one moment.
    async fn look(&self, session: &Session) -> Result<(), Failure> {
        let seen = session
            .transact(READ_ONLY, async |session| {
                let pieces = session
                    .query(
                        "SELECT (SELECT min(stock) FROM shop_items), (SELECT sum(stock - first_stock) FROM shop_items),
                            (SELECT coalesce(sum(quantity), 0) FROM shop_orders WHERE state <> 'cancelled')",
                    )
                    .await?;
                let money = session
                    .query(
                        "SELECT (SELECT min(credit) FROM shop_customers), (SELECT sum(credit - first_credit) FROM shop_customers),
                            (SELECT coalesce(sum(amount), 0) FROM shop_payments)",
                    )
                    .await?;
                let mut sums = [[0_i64; 3]; 2];
                for (sums, answer) in sums.iter_mut().zip([pieces, money]) {
                    let row = answer.rows.first().ok_or(Stop::Strange("no row".to_owned()))?;
                    *sums = [number(row, 0)?, number(row, 1)?, number(row, 2)?];
                }
                Ok(sums)
            })
            .await;
        let Ok([[stock, taken, ordered], [credit, spent, paid]]) = seen else { return Ok(()) };
        self.told.borrow_mut().looks += 1;
        if stock < 0 || taken + ordered != 0 {
            return Err(violation(format!(
                "{ordered} pieces are ordered and the stock changed by {taken}; the least is {stock}"
            )));
        }
        if credit < 0 || spent + paid != 0 {
            return Err(violation(format!("{paid} is paid and the credit changed by {spent}; the least is {credit}")));
        }
        Ok(())
    }

    async fn show_progress(&self, begin: Instant, seconds: u64) {
        let style = ProgressStyle::with_template("{bar:30} {elapsed}/{msg}").expect("the template is well formed");
        let progress = ProgressBar::new(seconds).with_style(style);
        while Instant::now() < self.end {
            let placed = self.told.borrow().placed.len();
            progress.set_message(format!("{seconds} s, {placed} orders tried"));
            progress.set_position(begin.elapsed().as_secs().min(seconds));
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        progress.finish_and_clear();
    }

    fn print(&self, took: Duration) {
        let told = self.told.borrow();
        let seconds = took.as_secs_f64();
        let count = |fates: &mut dyn Iterator<Item = Fate>| {
            let mut counts = [0_u64; 3];
            fates.for_each(|fate| counts[fate as usize] += 1);
            format!(
                "{} acknowledged ({:.0}/s), {} failed, {} with unknown outcome",
                counts[0],
                counts[0] as f64 / seconds,
                counts[1],
                counts[2]
            )
        };
        println!("shop: orders: {}", count(&mut told.placed.values().copied()));
        println!("      payments: {}", count(&mut told.payments.values().map(|(_, fate)| *fate)));
        println!(
            "      {} orders cancelled, everything looked at {} times, worst outage {:.2} s",
            told.cancelled.len(),
            told.looks,
            told.worst_gap.as_secs_f64()
        );
        for (why, times) in &told.reasons {
            println!("      {times} x {why}");
        }
    }

    /// Everything that must hold when nothing runs any more.
    async fn verify(&self) -> Result<(), Failure> {
        let give_up = Instant::now() + LAST_READS_MAX;
        let mut node = 0;
        loop {
            if let Some(session) = self.connect(&mut node).await
                && let Ok(everything) = session.transact(READ_ONLY, Everything::read).await
            {
                return everything.check(&self.told.borrow());
            }
            if Instant::now() > give_up {
                return Err(Failure::new("nobody answered the last read: nothing is checked"));
            }
        }
    }
}

/// The tables at the end.
struct Everything {
    /// Item, first stock, stock.
    items: Vec<(i32, i64, i64)>,
    /// Customer, first credit, credit.
    customers: Vec<(i32, i64, i64)>,
    orders: BTreeMap<i64, Order>,
    /// By the payment's id: order and amount.
    payments: BTreeMap<i64, (i64, i64)>,
}

struct Order {
    customer: i32,
    item: i32,
    quantity: i64,
    total: i64,
    state: String,
}

impl Everything {
    async fn read(session: &Session) -> Result<Everything, Stop> {
        let triple = |row: &Vec<String>| Ok::<_, Stop>((number(row, 0)?, number(row, 1)?, number(row, 2)?));
        let items = session.query("SELECT id, first_stock, stock FROM shop_items").await?;
        let customers = session.query("SELECT id, first_credit, credit FROM shop_customers").await?;
        let orders = session.query("SELECT id, customer, item, quantity, total, state FROM shop_orders").await?;
        let payments = session.query("SELECT id, order_id, amount FROM shop_payments").await?;
        let order = |row: &Vec<String>| {
            let (customer, item) = (number(row, 1)?, number(row, 2)?);
            let (quantity, total, state) = (number(row, 3)?, number(row, 4)?, row[5].clone());
            Ok::<_, Stop>((number(row, 0)?, Order { customer, item, quantity, total, state }))
        };
        let payment = |row: &Vec<String>| Ok::<_, Stop>((number(row, 0)?, (number(row, 1)?, number(row, 2)?)));
        Ok(Everything {
            items: items.rows.iter().map(triple).collect::<Result<_, _>>()?,
            customers: customers.rows.iter().map(triple).collect::<Result<_, _>>()?,
            orders: orders.rows.iter().map(order).collect::<Result<_, _>>()?,
            payments: payments.rows.iter().map(payment).collect::<Result<_, _>>()?,
        })
    }

    fn check(&self, told: &Told) -> Result<(), Failure> {
        let mut ordered: BTreeMap<i32, i64> = BTreeMap::new();
        for order in self.orders.values().filter(|order| order.state != "cancelled") {
            *ordered.entry(order.item).or_default() += order.quantity;
        }
        for (item, first, stock) in &self.items {
            let ordered = ordered.get(item).copied().unwrap_or(0);
            if *stock < 0 || first - stock != ordered {
                return Err(violation(format!(
                    "of {first} pieces of item {item} {ordered} are ordered and {stock} are left"
                )));
            }
        }
        let mut paid: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
        let mut spent: BTreeMap<i32, i64> = BTreeMap::new();
        for (id, (order, amount)) in &self.payments {
            let Some(what) = self.orders.get(order) else {
                return Err(violation(format!("payment {id} is for order {order}, which is not there")));
            };
            paid.entry(*order).or_default().push(*amount);
            *spent.entry(what.customer).or_default() += amount;
        }
        for (id, order) in &self.orders {
            let paid = paid.get(id).map_or(&[][..], Vec::as_slice);
            let right = if order.state == "paid" { paid == [order.total] } else { paid.is_empty() };
            if !right {
                return Err(violation(format!(
                    "order {id} of {} is {} and its payments are {paid:?}",
                    order.total, order.state
                )));
            }
        }
        for (customer, first, credit) in &self.customers {
            let spent = spent.get(customer).copied().unwrap_or(0);
            if *credit < 0 || first - credit != spent {
                return Err(violation(format!("customer {customer} had {first}, paid {spent} and has {credit}")));
            }
        }
        self.check_told(told)?;
        let sold_out = self.items.iter().filter(|(_, _, stock)| *stock == 0).count();
        println!(
            "shop: checked {} orders and {} payments; {sold_out} items are sold out: all consistent",
            self.orders.len(),
            self.payments.len()
        );
        Ok(())
    }

    fn check_told(&self, told: &Told) -> Result<(), Failure> {
        let wrong = |is_there: bool, fate: Fate| (fate == Fate::Ok) != is_there && fate != Fate::Unknown;
        for (id, fate) in &told.placed {
            if wrong(self.orders.contains_key(id), *fate) {
                return Err(violation(format!("order {id} was reported as {fate:?}")));
            }
        }
        for (id, (order, fate)) in &told.payments {
            if wrong(self.payments.contains_key(id), *fate) {
                return Err(violation(format!("payment {id} of order {order} was reported as {fate:?}")));
            }
        }
        for (id, _) in told.cancelled.iter().filter(|(_, fate)| **fate == Fate::Ok) {
            if self.orders.get(id).is_none_or(|order| order.state != "cancelled") {
                return Err(violation(format!("order {id} was cancelled, and is not")));
            }
        }
        Ok(())
    }
}
