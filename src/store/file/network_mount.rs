use std::fs::File;

/// Returns whether a directory is on a file system of another machine or of a program, where a lock can block, can be
/// refused, or can exclude nobody: NFS, SMB, FUSE and the like.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn is_network_mount(directory: &File) -> bool {
    // From `linux/magic.h`, and from the sources of SMB, Ceph and others.
    const NFS: u32 = 0x6969;
    const SMB: u32 = 0x517B;
    const CIFS: u32 = 0xFF53_4D42;
    const SMB2: u32 = 0xFE53_4D42;
    const FUSE: u32 = 0x6573_5546;
    const NINE_P: u32 = 0x0102_1997;
    const AFS: u32 = 0x5346_414F;
    const CODA: u32 = 0x7375_7245;
    const CEPH: u32 = 0x00C3_6400;

    let Ok(status) = rustix::fs::fstatfs(directory) else { return false };
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the numbers have 32 bits")]
    let magic = status.f_type as u32;
    matches!(magic, NFS | SMB | CIFS | SMB2 | FUSE | NINE_P | AFS | CODA | CEPH)
}

#[cfg(any(target_vendor = "apple", target_os = "freebsd"))]
#[allow(clippy::unnecessary_cast, reason = "the width depends on the system")]
pub(super) fn is_network_mount(directory: &File) -> bool {
    const MNT_LOCAL: u64 = 0x1000;
    rustix::fs::fstatfs(directory).is_ok_and(|status| status.f_flags as u64 & MNT_LOCAL == 0)
}

/// Other systems do not tell it in the same way.
#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple", target_os = "freebsd")))]
pub(super) fn is_network_mount(_: &File) -> bool {
    false
}
