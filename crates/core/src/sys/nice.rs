//! The scheduling priority of the calling thread.

/// Adds to the nice value of the calling thread and returns the new value, which is clamped to the valid
/// range.
///
/// # Errors
/// EPERM or EACCES for a negative increment without the privilege.
pub fn add(increment: i32) -> std::io::Result<i32> {
    Ok(rustix::process::nice(increment)?)
}

#[cfg(test)]
mod tests {
    #[test]
    fn it_is_the_threads_own() {
        std::thread::spawn(|| {
            let before = super::add(0).unwrap();
            assert_eq!(super::add(3).unwrap(), (before + 3).min(19));
        })
        .join()
        .unwrap();
    }
}
