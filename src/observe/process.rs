//! What the process took: CPU time and memory, as the system counted them.

use std::fs;

/// CPU time of a run is counted in these (`USER_HZ`, 100 on every Linux that caudal runs on).
const TICKS_PER_SECOND: f64 = 100.0;

/// User and system time of all threads so far, in seconds (to 10 ms); `None` where the system does not say.
pub fn cpu_seconds() -> Option<f64> {
    // The second field is the program's name in brackets, which may hold blanks; utime and stime are the 14th and 15th.
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS_PER_SECOND)
}

/// Most memory that was resident at once, in bytes; `None` where the system does not say.
pub fn peak_memory_bytes() -> Option<u64> {
    memory("VmHWM:")
}

/// Memory that is resident now, in bytes; `None` where the system does not say.
pub fn resident_memory_bytes() -> Option<u64> {
    memory("VmRSS:")
}

fn memory(line: &str) -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|found| found.strip_prefix(line))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_running_process_has_taken_memory_and_time() {
        assert!(peak_memory_bytes().unwrap() > 1 << 20);
        assert!(resident_memory_bytes().unwrap() > 1 << 20);
        assert!(cpu_seconds().unwrap() >= 0.0);
    }
}
