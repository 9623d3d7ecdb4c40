//! An allocator that counts the memory in use by each thread.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    hint::black_box,
};

struct Counting;

thread_local! {
    static IN_USE: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

fn grow(by: isize) {
    IN_USE.set(IN_USE.get() + by);
    PEAK.set(PEAK.get().max(IN_USE.get()));
}

// Safety: each call is forwarded to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grow(layout.size() as isize);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        grow(-(layout.size() as isize));
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Runs `work`, and returns the peak number of bytes in use by it and the number that its result retains.
pub(crate) fn peak_and_retained<T>(work: impl FnOnce() -> T) -> (usize, usize) {
    let before = IN_USE.get();
    PEAK.set(before);
    let result = black_box(work());
    let (peak, retained) = (PEAK.get() - before, IN_USE.get() - before);
    drop(result);
    (peak.try_into().unwrap_or(0), retained.try_into().unwrap_or(0))
}
