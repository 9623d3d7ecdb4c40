use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

/// The time by the clock of the machine, and by the clock that runs since the machine was started.
///
/// Only the second one can be trusted: nobody sets it, and it goes on while the machine sleeps. It tells nothing after
/// the machine was started again, which is seen by the boot id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Now {
    /// Milliseconds since 1970.
    pub(super) wall: u64,
    /// Milliseconds since the machine was started.
    pub(super) boot: u64,
    pub(super) boot_id: BootId,
}

/// The random number that Linux makes when it starts. It is zero on other systems, which have none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BootId(pub(super) [u8; 16]);

impl BootId {
    pub(super) const UNKNOWN: Self = Self([0; 16]);
}

impl Now {
    pub(super) fn read() -> Self {
        let time = clock_gettime(BOOT_CLOCK);
        let boot = Duration::new(time.tv_sec.try_into().unwrap_or(0), time.tv_nsec.try_into().unwrap_or(0));
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { wall: millis(wall), boot: millis(boot), boot_id: boot_id() }
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
const BOOT_CLOCK: ClockId = ClockId::Boottime;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const BOOT_CLOCK: ClockId = ClockId::Monotonic;

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn boot_id() -> BootId {
    use std::sync::OnceLock;

    static BOOT_ID: OnceLock<BootId> = OnceLock::new();
    *BOOT_ID.get_or_init(|| {
        let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        parse_boot_id(&text).unwrap_or(BootId::UNKNOWN)
    })
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn boot_id() -> BootId {
    BootId::UNKNOWN
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn parse_boot_id(text: &str) -> Option<BootId> {
    let digits = text.trim().replace('-', "");
    if digits.len() != 32 {
        return None;
    }
    u128::from_str_radix(&digits, 16).ok().map(|number| BootId(number.to_be_bytes()))
}
