//! Owner ids: which thread owns a resource in shared memory, and whether it is still alive.
//!
//! An owner is a thread, identified by its thread id, unique on the machine while it runs, and its start
//! time, which tells it from a later thread with the same id. Both fit in one word, so that ownership can be
//! taken with a single compare-and-swap:
//!
//! ```text
//! bit 63            22 21         0
//!     start, in ticks |  thread id       0: no owner
//! ```
//!
//! Owner words are read from memory that other processes can write. Any value is safe to query; one that was
//! never an owner is simply not alive. Thread ids are relative to the caller's PID namespace, so processes in
//! different namespaces must not share a segment, see [`pid_namespace`].

use std::cell::Cell;
use std::fs;
use std::io;
use std::num::NonZeroU64;
use std::os::unix::fs::MetadataExt;

use rustix::io::Errno;
use rustix::process::{test_kill_process, Pid};

/// Linux thread ids are below 2^22.
const TID_BITS: u32 = 22;
const TID_MASK: u64 = (1 << TID_BITS) - 1;

/// The identity of a thread on this machine, dead or alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OwnerId(NonZeroU64);

thread_local! {
    static CURRENT: Cell<Option<OwnerId>> = const { Cell::new(None) };
}

impl OwnerId {
    /// The calling thread. Cached after the first call on a thread.
    pub fn current() -> Self {
        CURRENT.get().unwrap_or_else(|| {
            let tid = rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs();
            // Without /proc, threads are identified by their id alone.
            let start = match look_up(tid) {
                LookUp::Found { start, .. } => start,
                LookUp::Missing | LookUp::Refused => 0,
            };
            let owner = Self::new(tid, start);
            CURRENT.set(Some(owner));
            owner
        })
    }

    fn new(tid: u32, start: u64) -> Self {
        let word = (start << TID_BITS) | (u64::from(tid) & TID_MASK);
        Self(NonZeroU64::new(word).unwrap_or(NonZeroU64::MAX))
    }

    /// Decodes a word read from shared memory; `None` for 0, no owner.
    pub fn from_word(word: u64) -> Option<Self> {
        NonZeroU64::new(word).map(Self)
    }

    /// The word to store in shared memory. Never 0.
    pub fn word(self) -> u64 {
        self.0.get()
    }

    /// The thread id.
    pub fn tid(self) -> u32 {
        (self.word() & TID_MASK) as u32
    }

    /// Whether the thread is still running. Reads a file in /proc, which takes about 10 us, so call this only
    /// after waiting for a while. A zombie, dead but not yet reaped by its parent, counts as dead. When in
    /// doubt, for instance without a free descriptor, the thread counts as alive: taking a resource from a
    /// live thread does more harm than leaving it with a dead one.
    pub fn is_alive(self) -> bool {
        if CURRENT.get() == Some(self) {
            return true;
        }
        match look_up(self.tid()) {
            LookUp::Found { runs, start } => runs && Self::new(self.tid(), start) == self,
            LookUp::Missing => false,
            LookUp::Refused => true,
        }
    }

    /// The thread's process id, if it is alive.
    pub fn pid(self) -> Option<u32> {
        if !self.is_alive() {
            return None;
        }
        let status = fs::read_to_string(format!("/proc/{}/status", self.tid())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("Tgid:"))?;
        line.trim().parse().ok()
    }
}

/// Identifies the PID namespace of this process; 0 when the kernel does not report it.
pub fn pid_namespace() -> u64 {
    fs::metadata("/proc/self/ns/pid").map_or(0, |metadata| metadata.ino())
}

/// What the kernel reports about a thread.
enum LookUp {
    Found {
        runs: bool,
        /// Start time in clock ticks since boot.
        start: u64,
    },
    Missing,
    /// No free descriptor, no /proc, or one that hides other processes.
    Refused,
}

fn look_up(tid: u32) -> LookUp {
    // The name in parentheses may contain any bytes, so the file is not read as a string.
    match fs::read(format!("/proc/{tid}/stat")) {
        Ok(stat) => parse(&stat).unwrap_or(LookUp::Refused),
        // The thread ended between open and read.
        Err(error) if error.raw_os_error() == Some(Errno::SRCH.raw_os_error()) => LookUp::Missing,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let pid = i32::try_from(tid).ok().and_then(Pid::from_raw);
            match pid.map(test_kill_process) {
                None | Some(Err(Errno::SRCH)) => LookUp::Missing,
                Some(_) => LookUp::Refused,
            }
        }
        Err(_) => LookUp::Refused,
    }
}

fn parse(stat: &[u8]) -> Option<LookUp> {
    let behind_name = stat.iter().rposition(|byte| *byte == b')')? + 1;
    let mut fields = stat[behind_name..].split(|byte| *byte == b' ').skip(1);
    let state = fields.next()?;
    // Field 22 of the line; the state is field 3.
    let start = std::str::from_utf8(fields.nth(18)?).ok()?.parse().ok()?;
    Some(LookUp::Found {
        runs: !matches!(state, b"Z" | b"X" | b"x"),
        start,
    })
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;
    use crate::testing::Watchdog;
    use std::process::{Command, Stdio};
    use std::sync::mpsc;
    use std::thread;

    fn start_of(tid: u32) -> u64 {
        match look_up(tid) {
            LookUp::Found { start, .. } => start,
            LookUp::Missing | LookUp::Refused => panic!("{tid} is not there"),
        }
    }

    #[test]
    fn the_calling_thread_lives() {
        let me = OwnerId::current();
        assert!(me.is_alive());
        assert_eq!(me, OwnerId::current());
        assert_eq!(OwnerId::from_word(me.word()), Some(me));
        assert_eq!(me.pid(), Some(std::process::id()));
    }

    #[test]
    fn a_thread_is_dead_once_it_has_ended() {
        let (tell, told) = mpsc::channel();
        let (end, ended) = mpsc::channel::<()>();
        let thread = thread::spawn(move || {
            tell.send(OwnerId::current()).unwrap();
            // Ends when the sender is dropped.
            assert!(ended.recv().is_err());
        });
        let owner = told.recv().unwrap();
        assert!(owner.is_alive());
        assert_ne!(owner, OwnerId::current());
        assert_eq!(owner.pid(), Some(std::process::id()));
        drop(end);
        thread.join().unwrap();
        // join() returns when the thread's closure has; the kernel may not have removed the thread yet.
        let watchdog = Watchdog::start();
        while owner.is_alive() {
            watchdog.check("the thread's death");
            thread::yield_now();
        }
        assert_eq!(owner.pid(), None);
    }

    #[test]
    fn a_killed_process_is_dead_even_before_it_was_waited_for() {
        let mut child = Command::new("sleep")
            .arg("600")
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let owner = OwnerId::new(child.id(), start_of(child.id()));
        assert!(owner.is_alive());
        child.kill().unwrap();
        let watchdog = Watchdog::start();
        while owner.is_alive() {
            watchdog.check("the process's death");
            thread::yield_now();
        }
        child.wait().unwrap();
        assert!(!owner.is_alive());
    }

    #[test]
    fn another_start_is_another_owner() {
        let me = OwnerId::current();
        let start = me.word() >> TID_BITS;
        assert!(!OwnerId::new(me.tid(), start + 1).is_alive());
        assert!(!OwnerId::new(me.tid(), start - 1).is_alive());
    }

    #[test]
    fn any_word_may_be_asked_about() {
        assert_eq!(OwnerId::from_word(0), None);
        for word in [1, TID_MASK, TID_MASK + 1, u64::MAX, 1 << 63] {
            let owner = OwnerId::from_word(word).unwrap();
            assert!(!owner.is_alive());
            assert_eq!(owner.pid(), None);
        }
    }

    #[test]
    fn the_namespace_is_known() {
        assert_ne!(pid_namespace(), 0);
        assert_eq!(pid_namespace(), pid_namespace());
    }
}
