//! Runs isolation specs against a server: `isolation URL LEVEL FOLDER OUT [NAME…]` (see scripts/isolation).
//!
//! FOLDER holds specs/NAME.spec and expected/NAME.out; OUT takes NAME.out and, where it differs, NAME.expected. A spec counts
//! when every permutation of it is as expected, but for the points of waiting and for which step gets the 40001.
#![expect(clippy::disallowed_methods, reason = "a test program is its own host")]

#[path = "../tests/isolation_runner/mod.rs"]
mod isolation_runner;

use std::path::Path;
use std::process::ExitCode;

use isolation_runner::compare::{Likeness, best};
use isolation_runner::{expected_files, run_file};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, level, folder, out, names @ ..] = &arguments[..] else {
        eprintln!("usage: isolation postgresql://USER@HOST:PORT/DATABASE LEVEL FOLDER OUT [NAME…]");
        return ExitCode::from(2);
    };
    let (folder, out) = (Path::new(folder), Path::new(out));
    let names = if names.is_empty() { all_names(folder) } else { names.to_vec() };
    println!("{:<36} {:>6} {:>6} {:>6} {:>6} {:>6}", "spec", "equal", "waits", "step", "none", "differ");
    let (mut alike, mut whole, mut right, mut all) = (0, 0, 0, 0);
    for name in &names {
        match run_one(url, level, folder, out, name).await {
            Ok((list, stopped)) => {
                let count = |likeness| list.iter().filter(|one| **one == likeness).count();
                let counts =
                    [Likeness::Equal, Likeness::Waits, Likeness::OtherStep, Likeness::NoFailure, Likeness::Different];
                let counts = counts.map(count);
                let columns: String = counts.iter().map(|count| format!(" {count:>6}")).collect();
                println!("{name:<36}{columns} {}", stopped.unwrap_or_default().trim_end());
                alike += usize::from(list.iter().all(|likeness| likeness.is_alike()));
                whole += usize::from(counts[0] == list.len());
                right += counts[0];
                all += list.len();
            }
            Err(why) => println!("{name:<36} {why}"),
        }
    }
    println!(
        "{alike} of {} specs alike, {whole} equal to the letter; {right} of {all} permutations equal",
        names.len()
    );
    ExitCode::from(u8::from(alike < names.len()))
}

async fn run_one(
    url: &str,
    level: &str,
    folder: &Path,
    out: &Path,
    name: &str,
) -> Result<(Vec<Likeness>, Option<String>), String> {
    let run = run_file(url, &folder.join(format!("specs/{name}.spec")), level, "").await?;
    let files = expected_files(&folder.join("expected"), name);
    let read = |path| std::fs::read_to_string(path).map_err(|error| error.to_string());
    let expected = files.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let (at, likeness) = best(&run.spec, &expected, &run.output);
    let mut output = run.output;
    if let Some(why) = &run.stopped {
        output.push_str(why);
    }
    let write = |suffix: &str, text: &str| {
        std::fs::write(out.join(format!("{name}.{suffix}")), text).map_err(|error| error.to_string())
    };
    write("out", &output)?;
    if likeness.iter().any(|likeness| *likeness != Likeness::Equal) {
        write("expected", &expected[at])?;
    }
    Ok((likeness, run.stopped))
}

fn all_names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder.join("specs")).into_iter().flatten().flatten();
    let specs = entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|it| it == "spec"));
    let mut names: Vec<String> =
        specs.filter_map(|path| Some(path.file_stem()?.to_string_lossy().into_owned())).collect();
    names.sort();
    names
}
