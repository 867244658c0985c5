//! What the system counts of a process: its work and its memory.

use std::collections::BTreeMap;
use std::fs;

/// Ticks of a second in `/proc`.
const TICKS: f64 = 100.0;

/// Fields of `/proc/ID/stat` after the name in brackets, which may hold blanks.
fn fields(process: &str) -> Vec<String> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let after = stat.rsplit(')').next().unwrap_or_default();
    after.split_whitespace().map(str::to_owned).collect()
}

fn seconds(fields: &[String], range: std::ops::Range<usize>) -> f64 {
    fields.get(range).into_iter().flatten().filter_map(|it| it.parse::<f64>().ok()).sum::<f64>() / TICKS
}

/// Seconds of processor that a process has used, in user and system.
pub fn worked(process: u32) -> f64 {
    seconds(&fields(&process.to_string()), 11..13)
}

/// The same of this process.
pub fn worked_here() -> f64 {
    worked(std::process::id())
}

/// The same of a process and all that it started, ended ones included.
pub fn worked_with_children(process: u32) -> f64 {
    let own = seconds(&fields(&process.to_string()), 11..15);
    let parent = process.to_string();
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    let children = all.map(|it| fields(&it.file_name().to_string_lossy()));
    own + children.filter(|it| it.get(1) == Some(&parent)).map(|it| seconds(&it, 11..13)).sum::<f64>()
}

/// The memory a process holds, in MiB; nothing if it has ended. Without pages of files, such as a database's, which the
/// system takes back when it wants them.
pub fn held(process: u32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let lines = status.lines().filter_map(|it| it.split_once(':'));
    let fields: BTreeMap<&str, &str> = lines.collect();
    let kib: f64 = fields.get("RssAnon")?.split_whitespace().next()?.parse().ok()?;
    Some(kib / 1_024.0)
}

/// How long writing 64 KiB durably takes on the disk of `folder`, in milliseconds: half of the times, and 99 of 100.
pub fn syncs(folder: &std::path::Path, times: usize) -> (f64, f64) {
    use std::io::Write as _;
    let mut file = fs::File::create(folder.join("syncs")).unwrap();
    let block = vec![7_u8; 64 << 10];
    let mut took: Vec<f64> = (0..times)
        .map(|_| {
            let began = std::time::Instant::now();
            file.write_all(&block).unwrap();
            file.sync_data().unwrap();
            began.elapsed().as_secs_f64() * 1_000.0
        })
        .collect();
    took.sort_by(f64::total_cmp);
    (took[times / 2], took[times * 99 / 100])
}
