//! The namespace of segments: one directory per user under `/dev/shm`, one file per name.
//!
//! A file is given its name only once its segment is complete, so no process ever opens a partial one, and a
//! creator that dies leaves nothing behind. Every process that has a segment open holds a shared `flock` on
//! it, which the kernel releases with the process's last descriptor, however the process ends. So a file that
//! can be locked exclusively is unused. Removal takes the exclusive lock first, and an opener that had to
//! wait for its lock checks that the file still has its name.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags, CWD};
use rustix::io::Errno;

use super::OpenError;

const PARENT: &str = "/dev/shm";
/// Longest name in bytes; some file systems allow no more than 255.
const MAX_NAME_BYTES: usize = 200;

/// A valid name: one that can be a file name and prints unambiguously.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name(String);

impl Name {
    /// Validates a name.
    ///
    /// # Errors
    /// `InvalidName` unless it consists of 1 to [`MAX_NAME_BYTES`] ASCII letters, digits and `. _ - : @` and
    /// does not start with a dot.
    pub fn new(name: &str) -> Result<Self, OpenError> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-:@".contains(&byte);
        let fits = (1..=MAX_NAME_BYTES).contains(&name.len()) && !name.starts_with('.');
        if !fits || !name.bytes().all(plain) {
            return Err(OpenError::InvalidName);
        }
        Ok(Self(name.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The calling user's directory of segments.
#[derive(Debug)]
pub struct Directory(OwnedFd);

impl Directory {
    /// Opens the directory, creating it if necessary.
    ///
    /// # Errors
    /// `OtherUser` when it belongs to another user or its mode lets others in, `Io` without `/dev/shm`.
    pub fn open() -> Result<Self, OpenError> {
        let user = rustix::process::geteuid();
        let path = format!("{PARENT}/manycore-{}", user.as_raw());
        match rustix::fs::mkdir(&path, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno.into()),
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = match rustix::fs::open(&path, flags, Mode::empty()) {
            // A symbolic link, or not a directory.
            Err(Errno::LOOP | Errno::NOTDIR) => return Err(OpenError::OtherUser),
            opened => opened?,
        };
        let stat = rustix::fs::fstat(&fd)?;
        if stat.st_uid != user.as_raw() || stat.st_mode & 0o077 != 0 {
            return Err(OpenError::OtherUser);
        }
        Ok(Self(fd))
    }

    /// Opens the file of a name and takes a shared lock on it.
    ///
    /// # Errors
    /// `NotFound`; `OtherUser` or `Corrupt` when it is not a regular file of this user.
    pub fn file(&self, name: &Name) -> Result<OwnedFd, OpenError> {
        loop {
            let file = self.file_unlocked(name)?;
            lock(&file, FlockOperation::LockShared)?;
            // If the file was removed while this thread waited for the lock, another may have its name by
            // now.
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

    /// Creates a file without a name, with a shared lock held on it.
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
    /// `Exists` when another file has it.
    pub fn give_name(&self, file: &OwnedFd, name: &Name) -> Result<(), OpenError> {
        let path = format!("/proc/self/fd/{}", file.as_fd().as_raw_fd());
        match rustix::fs::linkat(CWD, path, &self.0, name.as_str(), AtFlags::SYMLINK_FOLLOW) {
            Err(Errno::EXIST) => Err(OpenError::Exists),
            linked => Ok(linked?),
        }
    }

    /// Removes a name; open segments stay usable. Returns false when there is no such name.
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

    /// Removes a segment unless it is in use. Returns whether it was removed.
    ///
    /// # Errors
    /// Those of [`Directory::file`].
    pub fn unlink_unused(&self, name: &Name) -> Result<bool, OpenError> {
        let file = self.file_unlocked(name)?;
        if !try_lock(&file)? {
            return Ok(false);
        }
        // Nobody can open this file now, but the name may belong to another one by now.
        let mine = rustix::fs::fstat(&file)?;
        let named = rustix::fs::statat(&self.0, name.as_str(), AtFlags::SYMLINK_NOFOLLOW);
        if !named.is_ok_and(|named| named.st_ino == mine.st_ino) {
            return Ok(false);
        }
        self.unlink(name)
    }

    /// Whether any process has the segment open.
    ///
    /// # Errors
    /// Those of [`Directory::file`].
    pub fn is_used(&self, name: &Name) -> Result<bool, OpenError> {
        Ok(!try_lock(&self.file_unlocked(name)?)?)
    }

    /// All names, sorted.
    ///
    /// # Errors
    /// `Io`.
    pub fn names(&self) -> Result<Vec<Name>, OpenError> {
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.0)? {
            // Files without a valid name are not ours.
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

/// Takes the exclusive lock, unless any other lock is held.
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
