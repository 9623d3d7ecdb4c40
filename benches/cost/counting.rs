//! An allocator that counts allocations and bytes in use.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    hint::black_box,
};

/// Counts each thread separately.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
    static BYTES: Cell<isize> = const { Cell::new(0) };
}

fn grow(by: usize, less: usize) {
    BYTES.set(BYTES.get() + by as isize - less as isize);
}

// Safety: every call is passed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        grow(layout.size(), 0);
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        grow(size, layout.size());
        unsafe { System.realloc(memory, layout, size) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        grow(0, layout.size());
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Returns the number of allocations of this thread while it does this work and drops the result.
pub fn allocations<T>(work: impl FnOnce() -> T) -> usize {
    let before = ALLOCATIONS.get();
    drop(black_box(work()));
    ALLOCATIONS.get() - before
}

/// Returns the memory in use that this thread has allocated, less what it has freed, in bytes.
#[allow(dead_code)] // not every program that counts is interested
pub fn bytes_in_use() -> isize {
    BYTES.get()
}

/// Returns the size in memory of the result of this work, in bytes.
#[allow(dead_code)] // not every program that counts is interested
pub fn held<T>(work: impl FnOnce() -> T) -> usize {
    let before = BYTES.get();
    let made = black_box(work());
    let held = BYTES.get() - before;
    drop(made);
    held.try_into().unwrap_or(0)
}
