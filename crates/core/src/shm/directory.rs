//! The names of segments: one directory per user under `/dev/shm`, one file per name.
//!
//! A file gets its name only when its segment is complete, so no opener ever meets half of one, and a maker
//! that dies leaves nothing behind. Whoever has a segment open holds a shared `flock` on it, which the kernel
//! takes back when the last of a process's descriptors goes, however it ended: a file that can be locked
//! exclusively has no users. Removing one takes that lock first, and an opener that waited for its own looks
//! whether the file still has its name.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags, CWD};
use rustix::io::Errno;

use super::OpenError;

const PARENT: &str = "/dev/shm";
/// Files longer than this cannot have a name: some file systems end at 255.
pub const MAX_NAME_BYTES: usize = 200;

/// A name that a file can have and that shows as what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name(String);

impl Name {
    /// # Errors
    /// `InvalidName` unless it has 1 to [`MAX_NAME_BYTES`] letters, digits and `. _ - : @`, the first of which is
    /// not a dot.
    pub fn new(name: &str) -> Result<Self, OpenError> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-:@".contains(&byte);
        let fits = (1..=MAX_NAME_BYTES).contains(&name.len()) && !name.starts_with('.');
        if !fits || !name.bytes().all(plain) {
            return Err(OpenError::InvalidName);
        }
        Ok(Self(name.to_owned()))
    }

    /// As it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The calling user's directory of segments.
#[derive(Debug)]
pub struct Directory(OwnedFd);

impl Directory {
    /// Opens the directory, which is made if need be.
    ///
    /// # Errors
    /// `OtherUser` when somebody else made it or may use it, `Io` where there is no `/dev/shm`.
    pub fn open() -> Result<Self, OpenError> {
        let user = rustix::process::geteuid();
        let path = format!("{PARENT}/manycore-{}", user.as_raw());
        match rustix::fs::mkdir(&path, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno.into()),
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = match rustix::fs::open(&path, flags, Mode::empty()) {
            // A link, or no directory.
            Err(Errno::LOOP | Errno::NOTDIR) => return Err(OpenError::OtherUser),
            opened => opened?,
        };
        let stat = rustix::fs::fstat(&fd)?;
        if stat.st_uid != user.as_raw() || stat.st_mode & 0o077 != 0 {
            return Err(OpenError::OtherUser);
        }
        Ok(Self(fd))
    }

    /// Opens the file of a name and registers as its user.
    ///
    /// # Errors
    /// `NotFound`; `OtherUser` and `Corrupt` for what is no file of this user's.
    pub fn file(&self, name: &Name) -> Result<OwnedFd, OpenError> {
        loop {
            let file = self.file_unlocked(name)?;
            lock(&file, FlockOperation::LockShared)?;
            // Removed while the lock was waited for: another may have its name by now.
            if rustix::fs::fstat(&file)?.st_nlink > 0 {
                return Ok(file);
            }
        }
    }

    fn file_unlocked(&self, name: &Name) -> Result<OwnedFd, OpenError> {
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = match rustix::fs::openat(&self.0, name.as_str(), flags, Mode::empty()) {
            Err(Errno::NOENT) => return Err(OpenError::NotFound),
            Err(Errno::LOOP | Errno::ISDIR | Errno::NXIO) => {
                return Err(OpenError::Corrupt("it is not a file"));
            }
            opened => opened?,
        };
        let stat = rustix::fs::fstat(&file)?;
        if stat.st_uid != rustix::process::geteuid().as_raw() {
            return Err(OpenError::OtherUser);
        }
        if rustix::fs::FileType::from_raw_mode(stat.st_mode) != rustix::fs::FileType::RegularFile {
            return Err(OpenError::Corrupt("it is not a file"));
        }
        Ok(file)
    }

    /// A new file without a name, with the caller as its user.
    ///
    /// # Errors
    /// `Io`.
    pub fn unnamed(&self) -> Result<OwnedFd, OpenError> {
        let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.0, ".", flags, Mode::RUSR | Mode::WUSR)?;
        lock(&file, FlockOperation::LockShared)?;
        Ok(file)
    }

    /// Gives a name to a file from [`Directory::unnamed`].
    ///
    /// # Errors
    /// `Exists` when another has it.
    pub fn give_name(&self, file: &OwnedFd, name: &Name) -> Result<(), OpenError> {
        let path = format!("/proc/self/fd/{}", file.as_fd().as_raw_fd());
        match rustix::fs::linkat(CWD, path, &self.0, name.as_str(), AtFlags::SYMLINK_FOLLOW) {
            Err(Errno::EXIST) => Err(OpenError::Exists),
            linked => Ok(linked?),
        }
    }

    /// Takes the name away. Those who have the segment open keep it. False when there is none.
    ///
    /// # Errors
    /// `Io`.
    pub fn unlink(&self, name: &Name) -> Result<bool, OpenError> {
        match rustix::fs::unlinkat(&self.0, name.as_str(), AtFlags::empty()) {
            Err(Errno::NOENT) => Ok(false),
            unlinked => {
                unlinked?;
                Ok(true)
            }
        }
    }

    /// Removes the segment if nobody has it open. True when it is gone.
    ///
    /// # Errors
    /// As [`Directory::file`].
    pub fn unlink_unused(&self, name: &Name) -> Result<bool, OpenError> {
        let file = self.file_unlocked(name)?;
        if !try_lock(&file)? {
            return Ok(false);
        }
        // Nobody can become its user now; but by now the name may be another file's.
        let mine = rustix::fs::fstat(&file)?;
        let named = rustix::fs::statat(&self.0, name.as_str(), AtFlags::SYMLINK_NOFOLLOW);
        if !named.is_ok_and(|named| named.st_ino == mine.st_ino) {
            return Ok(false);
        }
        self.unlink(name)
    }

    /// Whether anybody has the segment open.
    ///
    /// # Errors
    /// As [`Directory::file`].
    pub fn is_used(&self, name: &Name) -> Result<bool, OpenError> {
        Ok(!try_lock(&self.file_unlocked(name)?)?)
    }

    /// The names there are, sorted.
    ///
    /// # Errors
    /// `Io`.
    pub fn names(&self) -> Result<Vec<Name>, OpenError> {
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.0)? {
            // What has no name of ours is not ours.
            let name = entry?
                .file_name()
                .to_str()
                .ok()
                .and_then(|name| Name::new(name).ok());
            names.extend(name);
        }
        names.sort_unstable_by(|one, other| one.0.cmp(&other.0));
        Ok(names)
    }
}

fn lock(file: &OwnedFd, operation: FlockOperation) -> io::Result<()> {
    rustix::io::retry_on_intr(|| rustix::fs::flock(file, operation))?;
    Ok(())
}

/// Exclusively, unless somebody has it.
fn try_lock(file: &OwnedFd) -> io::Result<bool> {
    match lock(file, FlockOperation::NonBlockingLockExclusive) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        locked => locked.map(|()| true),
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain() {
        for good in ["a", "jobs:2", "A.b_c-d@e", &"x".repeat(MAX_NAME_BYTES)] {
            assert_eq!(Name::new(good).unwrap().as_str(), good);
        }
        for bad in [
            "",
            ".",
            "..",
            ".a",
            "a/b",
            "a b",
            "a\0",
            "é",
            &"x".repeat(MAX_NAME_BYTES + 1),
        ] {
            assert!(matches!(Name::new(bad), Err(OpenError::InvalidName)), "{bad}");
        }
    }

    #[test]
    fn a_file_is_there_once_it_has_a_name_and_used_while_it_is_open() {
        let directory = Directory::open().unwrap();
        let name = Name::new(&format!("test-directory-{}", std::process::id())).unwrap();
        let file = directory.unnamed().unwrap();
        assert!(matches!(directory.file(&name), Err(OpenError::NotFound)));
        directory.give_name(&file, &name).unwrap();
        assert!(directory.names().unwrap().contains(&name));
        let second = directory.unnamed().unwrap();
        assert!(matches!(
            directory.give_name(&second, &name),
            Err(OpenError::Exists)
        ));
        let user = directory.file(&name).unwrap();
        drop(file);
        assert!(directory.is_used(&name).unwrap());
        assert!(!directory.unlink_unused(&name).unwrap());
        drop(user);
        assert!(!directory.is_used(&name).unwrap());
        assert!(directory.unlink_unused(&name).unwrap());
        assert!(matches!(directory.is_used(&name), Err(OpenError::NotFound)));
        assert!(!directory.unlink(&name).unwrap());
    }
}
