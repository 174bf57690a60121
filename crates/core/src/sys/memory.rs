//! How much memory is available.

use std::fs;

/// Bytes that can be allocated before the kernel starts to kill processes, as far as is known: the memory
/// available on the machine or left within the limit of the caller's control group, whichever is less.
pub fn available_bytes() -> u64 {
    of_machine()
        .unwrap_or(u64::MAX)
        .min(of_group().unwrap_or(u64::MAX))
}

fn of_machine() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes.saturating_mul(1024))
}

/// Control groups v2. In a container, the group's own directory is usually mounted as the root.
fn of_group() -> Option<u64> {
    let text = fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = text.lines().find_map(|line| line.strip_prefix("0::"))?;
    let read = |name: &str| {
        let of_path = fs::read_to_string(format!("/sys/fs/cgroup{path}/{name}"));
        let text = of_path
            .or_else(|_| fs::read_to_string(format!("/sys/fs/cgroup/{name}")))
            .ok()?;
        // "max" does not parse and means no limit.
        text.trim().parse::<u64>().ok()
    };
    Some(read("memory.max")?.saturating_sub(read("memory.current")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_some_but_not_all_there_could_be() {
        assert!(available_bytes() > 1024 * 1024);
        assert!(of_machine().unwrap() < 1 << 50);
    }
}
