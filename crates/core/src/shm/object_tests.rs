use super::*;
use crate::sync::Ordering;
use std::sync::atomic::AtomicU32;
use std::thread;

const KIND: Kind = Kind {
    name: "test",
    layout: 1,
};
static NEXT: AtomicU32 = AtomicU32::new(0);

/// A unique name for each test, removed on drop.
struct Unlinked(Name);

impl Unlinked {
    fn new() -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Self(Name::new(&format!("test-object-{}-{number}", std::process::id())).unwrap())
    }
}

impl Drop for Unlinked {
    fn drop(&mut self) {
        unlink(&self.0, Scope::Host).unwrap();
    }
}

fn plan(kind: Kind) -> Plan<'static> {
    Plan {
        kind,
        body_bytes: 10_000,
        initialise: &|segment| {
            segment.parameters()[0].store(7, Ordering::Relaxed);
            segment.body()[1].fetch_add(1, Ordering::Relaxed);
        },
    }
}

fn open(name: &Name, scope: Scope, create: Create) -> Result<Arc<ObjectSegment>, OpenError> {
    ObjectSegment::named(name, scope, create, &plan(KIND))
}

#[test]
fn a_name_is_made_once_and_opened_by_all() {
    for scope in [Scope::Host, Scope::Process] {
        let name = Unlinked::new();
        assert!(matches!(
            open(&name.0, scope, Create::Never),
            Err(OpenError::NotFound)
        ));
        let maker = open(&name.0, scope, Create::IfMissing).unwrap();
        let opener = open(&name.0, scope, Create::IfMissing).unwrap();
        assert!(matches!(
            open(&name.0, scope, Create::Always),
            Err(OpenError::Exists)
        ));
        assert_eq!(opener.parameters()[0].load(Ordering::Relaxed), 7);
        assert_eq!(opener.len(), 16_384);
        maker.body()[0].store(42, Ordering::Relaxed);
        assert_eq!(opener.body()[0].load(Ordering::Relaxed), 42);
        assert_eq!(opener.body()[1].load(Ordering::Relaxed), 1);
        assert!(unlink(&name.0, scope).unwrap());
        assert!(!unlink(&name.0, scope).unwrap());
        let another = open(&name.0, scope, Create::IfMissing).unwrap();
        assert_eq!(another.body()[0].load(Ordering::Relaxed), 0);
        assert_eq!(opener.body()[0].load(Ordering::Relaxed), 42);
    }
}

#[test]
fn of_many_who_race_for_a_name_one_makes_it() {
    let name = Unlinked::new();
    thread::scope(|scope| {
        let openers: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| open(&name.0, Scope::Host, Create::IfMissing).unwrap()))
            .collect();
        let segments: Vec<_> = openers.into_iter().map(|opener| opener.join().unwrap()).collect();
        for segment in &segments {
            segment.body()[0].fetch_add(1, Ordering::Relaxed);
        }
        assert_eq!(segments[0].body()[0].load(Ordering::Relaxed), 8);
    });
}

#[test]
fn other_kinds_layouts_and_files_are_told_apart() {
    let name = Unlinked::new();
    let segment = open(&name.0, Scope::Host, Create::Always).unwrap();
    let reopen =
        |kind| ObjectSegment::named(&name.0, Scope::Host, Create::IfMissing, &plan(kind)).unwrap_err();
    let other_kind = reopen(Kind {
        name: "other",
        layout: 1,
    });
    assert!(matches!(other_kind, OpenError::OtherKind(kind) if kind == "test"));
    let other_layout = reopen(Kind {
        name: "test",
        layout: 2,
    });
    assert!(matches!(other_layout, OpenError::OtherVersion(_)));
    // Not a memory-safety matter: this simulates what an opener finds while a creator with another layout is
    // at work.
    segment.all_words()[1].store(0, Ordering::Relaxed);
    assert!(matches!(reopen(KIND), OpenError::NotInitialised));
    rustix::fs::ftruncate(&*segment, 100).unwrap();
    assert!(matches!(reopen(KIND), OpenError::Corrupt(_)));
}

#[test]
fn a_handle_opens_the_segment_as_long_as_its_giver_has_it() {
    let anonymous = ObjectSegment::anonymous(&plan(KIND)).unwrap();
    let handle = anonymous.handle();
    let opened = ObjectSegment::from_handle(&handle, KIND).unwrap();
    anonymous.body()[5].store(5, Ordering::Relaxed);
    assert_eq!(opened.body()[5].load(Ordering::Relaxed), 5);
    // The receiver's handle works as well.
    assert!(ObjectSegment::from_handle(&opened.handle(), KIND).is_ok());
    drop(anonymous);
    assert!(matches!(
        ObjectSegment::from_handle(&handle, KIND),
        Err(OpenError::NotFound)
    ));
    assert_eq!(opened.body()[5].load(Ordering::Relaxed), 5);

    let name = Unlinked::new();
    let named = open(&name.0, Scope::Host, Create::Always).unwrap();
    let handle = named.handle();
    assert!(ObjectSegment::from_handle(&handle, KIND).is_ok());
    assert!(ObjectSegment::from_handle(
        &handle,
        Kind {
            name: "other",
            layout: 1
        }
    )
    .is_err());
}

#[test]
fn what_is_no_handle_opens_nothing() {
    let pid = std::process::id();
    for bad in [
        "",
        "name/",
        "name/../x",
        "fd/",
        "fd/1",
        "fd/x/0/0",
        "fd/1/0",
        "file/x",
    ] {
        let error = ObjectSegment::from_handle(bad, KIND).unwrap_err();
        assert!(matches!(error, OpenError::InvalidName), "{bad}: {error:?}");
    }
    let (pipe, _writer) = rustix::pipe::pipe().unwrap();
    let other = ObjectSegment::anonymous(&plan(KIND)).unwrap();
    for fd in [pipe.as_raw_fd(), other.as_fd().as_raw_fd(), 1_000_000] {
        let handle = format!("fd/{pid}/{fd}/{:032x}", 1);
        assert!(matches!(
            ObjectSegment::from_handle(&handle, KIND),
            Err(OpenError::NotFound)
        ));
    }
}

#[test]
fn segments_are_listed_and_go_when_unused() {
    let name = Unlinked::new();
    let segment = open(&name.0, Scope::Host, Create::Always).unwrap();
    let find = || {
        list()
            .unwrap()
            .into_iter()
            .find(|listed| listed.name == name.0.as_str())
    };
    let listed = find().unwrap();
    assert_eq!(
        (listed.kind.as_str(), listed.bytes, listed.used),
        ("test", 16_384, true)
    );
    let again = segment.map_again().unwrap();
    assert_ne!(again.body_ptr(), segment.body_ptr());
    drop(segment);
    assert!(find().unwrap().used);
    drop(again);
    assert!(!find().unwrap().used);
    let directory = Directory::open().unwrap();
    assert!(directory.unlink_unused(&name.0).unwrap());
    assert!(find().is_none());
}

#[test]
fn more_than_there_is_is_an_error() {
    for body_bytes in [usize::MAX, usize::MAX / 2, 1 << 60] {
        let plan = Plan {
            body_bytes,
            ..plan(KIND)
        };
        assert!(matches!(ObjectSegment::anonymous(&plan), Err(OpenError::Io(_))));
    }
}

#[test]
fn what_is_stored_while_a_segment_moves_into_huge_pages_stays() {
    let plan = Plan {
        body_bytes: HUGE_FROM_BYTES + 100_000,
        ..plan(KIND)
    };
    let segment = ObjectSegment::anonymous(&plan).unwrap();
    let other = segment.map_again().unwrap();
    let words = segment.body().len();
    for round in 0..3u64 {
        for index in (0..words).step_by(509) {
            segment.body()[index].store(round ^ index as u64, Ordering::Relaxed);
        }
        for index in (0..words).step_by(509) {
            assert_eq!(other.body()[index].load(Ordering::Relaxed), round ^ index as u64);
        }
    }
    // Perhaps while it is being moved.
    drop(segment);
    assert_eq!(other.body()[509].load(Ordering::Relaxed), 2 ^ 509);
}

#[test]
fn pages_are_moved_within_a_segment_only() {
    let segment = ObjectSegment::anonymous(&plan(KIND)).unwrap();
    for at in [0, segment.len(), HUGE_PAGE_BYTES] {
        assert!(!segment.collapse_at(at));
    }
}
