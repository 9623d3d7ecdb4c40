//! An allocator that counts the memory in use by each thread.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    hint::black_box,
};

struct Counting;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static MOST: Cell<isize> = const { Cell::new(0) };
}

fn grow(by: isize) {
    HELD.set(HELD.get() + by);
    MOST.set(MOST.get().max(HELD.get()));
}

// Safety: all is handed on to the system's allocator.
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

/// How many bytes this work holds at most while it is done, and how many what comes of it does.
pub(crate) fn bytes<T>(work: impl FnOnce() -> T) -> (usize, usize) {
    let before = HELD.get();
    MOST.set(before);
    let made = black_box(work());
    let (most, held) = (MOST.get() - before, HELD.get() - before);
    drop(made);
    (most.try_into().unwrap_or(0), held.try_into().unwrap_or(0))
}
