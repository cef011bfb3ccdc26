//! Memory of kernels: aligned, reused by its thread, written by several threads at once.

use std::cell::RefCell;
use std::marker::PhantomData;

use aligned_vec::{AVec, ConstAlign, avec};

/// Floats that begin where a cache line begins.
pub(crate) type Aligned<T = f32> = AVec<T, ConstAlign<64>>;

/// Zeros.
pub(crate) fn zeros<T: Copy + Default>(length: usize) -> Aligned<T> {
    avec![[64] | T::default(); length]
}

/// From this size on, in bytes, a result gets large pages: the allocator maps fresh memory for it, and
/// the system fills it page by page as it is first written.
const LARGE: usize = 32 << 20;

/// Zeros for a result, as a plain vector. Where they are many the system is asked for large pages:
/// one page fault then stands for 512, and results of an image's size are made all the time.
pub(crate) fn fresh(length: usize) -> Vec<f32> {
    let mut values = vec![0.0; length];
    if std::mem::size_of_val(values.as_slice()) >= LARGE {
        ask_for_large_pages(&mut values);
    }
    values
}

#[cfg(target_os = "linux")]
fn ask_for_large_pages(values: &mut [f32]) {
    /// The size of a large page; also a multiple of that of any other page.
    const PAGE: usize = 2 << 20;
    let range = values.as_mut_ptr_range();
    let skipped = range.start.cast::<u8>().align_offset(PAGE);
    let length = std::mem::size_of_val(values).saturating_sub(skipped) / PAGE * PAGE;
    // SAFETY: whole pages inside the slice, which is borrowed; the advice changes how they are
    // mapped, not what is in them. A refusal costs time, no more.
    unsafe {
        let start = range.start.cast::<u8>().add(skipped.min(std::mem::size_of_val(values)));
        libc::madvise(start.cast(), length, libc::MADV_HUGEPAGE);
    }
}

#[cfg(not(target_os = "linux"))]
fn ask_for_large_pages(_: &mut [f32]) {}

thread_local! {
    /// Buffers that this thread has used before.
    static SCRATCH: RefCell<Vec<Aligned>> = const { RefCell::new(vec![]) };
}

/// Gives `f` floats of any content, in memory that this thread keeps for the next call.
pub(crate) fn with_scratch<T>(length: usize, f: impl FnOnce(&mut [f32]) -> T) -> T {
    // Taken out while it is in use: `f` may wait for other tasks, and this thread may then run one
    // that needs a buffer too.
    let mut buffer = SCRATCH.with_borrow_mut(Vec::pop).unwrap_or_else(|| zeros(0));
    if buffer.len() < length {
        buffer = zeros(length);
    }
    let result = f(&mut buffer[..length]);
    SCRATCH.with_borrow_mut(|buffers| buffers.push(buffer));
    result
}

/// A slice that several tasks write to, each in places of its own: columns of rows, which no safe
/// division of a slice gives.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shared<'a> {
    start: *mut f32,
    length: usize,
    slice: PhantomData<&'a mut [f32]>,
}

// SAFETY: whoever writes promises, at `slice`, that nobody else has the same entries.
unsafe impl Send for Shared<'_> {}
// SAFETY: as above.
unsafe impl Sync for Shared<'_> {}

impl<'a> Shared<'a> {
    /// Shares a slice.
    pub(crate) fn new(slice: &'a mut [f32]) -> Self {
        Self { start: slice.as_mut_ptr(), length: slice.len(), slice: PhantomData }
    }

    /// The entries from `first` on, still shared.
    ///
    /// # Panics
    /// When `first` is beyond the end.
    #[inline(always)]
    pub(crate) fn from(self, first: usize) -> Self {
        assert!(first <= self.length, "entries out of bounds");
        Self { start: self.start.wrapping_add(first), length: self.length - first, ..self }
    }

    /// How many entries there are.
    #[inline(always)]
    pub(crate) fn len(self) -> usize {
        self.length
    }

    /// Where the first entry is; the others follow.
    #[inline(always)]
    pub(crate) fn start(self) -> *mut f32 {
        self.start
    }

    /// Some entries as a slice.
    ///
    /// # Safety
    /// Nobody else has any of them as long as the result lives.
    ///
    /// # Panics
    /// When there are no such entries.
    #[inline(always)]
    pub(crate) unsafe fn slice(self, first: usize, length: usize) -> &'a mut [f32] {
        assert!(first <= self.length && length <= self.length - first, "entries out of bounds");
        // SAFETY: in bounds, and by the caller's promise nobody else's.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(first), length) }
    }
}
