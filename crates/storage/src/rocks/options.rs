//! RocksDB's settings.

use rocksdb::{
    BlockBasedIndexType, BlockBasedOptions, Cache, ColumnFamilyDescriptor, DBCompressionType, DBRecoveryMode,
    InfoLogger, LogLevel, Options, SliceTransform,
};

use crate::{Family, SUFFIX_LEN};

/// How much memory and how many threads the engine may take. The defaults fit a laptop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RocksOptions {
    /// Blocks of files kept in memory, their filters and indexes included.
    pub cache_bytes: usize,
    /// Writes kept in memory, over all families, before they are flushed to files.
    pub memtable_bytes: usize,
    /// Threads for flushes and compactions.
    pub background_jobs: i32,
}

impl Default for RocksOptions {
    fn default() -> RocksOptions {
        RocksOptions { cache_bytes: 256 << 20, memtable_bytes: 64 << 20, background_jobs: 2 }
    }
}

pub const fn family_name(family: Family) -> &'static str {
    match family {
        Family::Data => "data",
        Family::Intents => "intents",
        Family::Txns => "txns",
        Family::Local => "local",
        Family::Log => "log",
    }
}

pub fn database_options(options: &RocksOptions) -> Options {
    let mut db = Options::default();
    db.create_if_missing(true);
    db.create_missing_column_families(true);
    db.set_atomic_flush(true);
    db.set_manual_wal_flush(false);
    db.set_recycle_log_file_num(0);
    db.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
    db.set_track_and_verify_wals_in_manifest(true);
    db.set_paranoid_checks(true);
    db.set_db_write_buffer_size(options.memtable_bytes);
    // The log family's memtable holds what the log file holds, so this is reached only when many small
    // log files pile up.
    db.set_max_total_wal_size((options.memtable_bytes as u64 * 2).max(64 << 20));
    db.set_max_background_jobs(options.background_jobs);
    db.set_bytes_per_sync(1 << 20);
    db.set_max_open_files(1000);
    // No timers: an idle node shall be idle.
    db.set_stats_dump_period_sec(0);
    db.set_stats_persist_period_sec(0);
    db.set_skip_stats_update_on_db_open(true);
    db.set_info_logger(InfoLogger::new_callback_logger(LogLevel::Warn, forward_log));
    db
}

pub fn family_descriptors(options: &RocksOptions) -> Vec<ColumnFamilyDescriptor> {
    let cache = Cache::new_lru_cache(options.cache_bytes);
    let describe = |family| ColumnFamilyDescriptor::new(family_name(family), family_options(family, options, &cache));
    Family::ALL.into_iter().map(describe).collect()
}

fn family_options(family: Family, options: &RocksOptions, cache: &Cache) -> Options {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(cache);
    table.set_block_size(8 << 10);
    table.set_bloom_filter(10.0, false);
    table.set_cache_index_and_filter_blocks(true);
    table.set_cache_index_and_filter_blocks_with_high_priority(true);
    // In pieces: a filter of a whole file is a megabyte, and a cache that has to give one up reads and checks all of it
    // again for the next key.
    table.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
    table.set_partition_filters(true);
    table.set_metadata_block_size(8 << 10);
    table.set_pin_top_level_index_and_filter(true);
    table.set_pin_l0_filter_and_index_blocks_in_cache(true);
    table.set_whole_key_filtering(family != Family::Data);

    let mut cf = Options::default();
    cf.set_write_buffer_size(options.memtable_bytes);
    cf.set_max_write_buffer_number(4);
    cf.set_level_compaction_dynamic_level_bytes(true);
    cf.set_compression_type(match family {
        Family::Log => DBCompressionType::None, // written once, cut off soon, hardly read
        _ => DBCompressionType::Lz4,
    });
    match family {
        Family::Data => {
            let key_of_version = SliceTransform::create("cairn.key_of_version", without_suffix, Some(has_suffix));
            cf.set_prefix_extractor(key_of_version);
            cf.set_memtable_prefix_bloom_ratio(0.05);
        }
        Family::Intents | Family::Txns => {
            cf.set_memtable_whole_key_filtering(true);
            cf.set_memtable_prefix_bloom_ratio(0.02);
        }
        Family::Local | Family::Log => {}
    }
    cf.set_block_based_table_factory(&table);
    cf
}

fn without_suffix(key: &[u8]) -> &[u8] {
    &key[..key.len() - SUFFIX_LEN]
}

fn has_suffix(key: &[u8]) -> bool {
    key.len() >= SUFFIX_LEN
}

fn forward_log(level: LogLevel, message: &str) {
    let message = message.trim_end();
    match level {
        LogLevel::Error | LogLevel::Fatal => tracing::error!(target: "rocksdb", "{message}"),
        LogLevel::Warn => tracing::warn!(target: "rocksdb", "{message}"),
        // Options and versions, hundreds of lines at each start: RocksDB tells them whatever level is asked for.
        LogLevel::Info | LogLevel::Debug | LogLevel::Header => tracing::debug!(target: "rocksdb", "{message}"),
    }
}
