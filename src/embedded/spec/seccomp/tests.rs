//! Filters, run as the kernel runs them.

use std::str::FromStr as _;

use syscalls::Sysno;

use super::*;

/// What a filter says of a call.
fn verdict(program: &BpfProgram, processor: u32, number: u32, arguments: [u64; 6]) -> u32 {
    let mut known = [0_u8; 64];
    known[..4].copy_from_slice(&number.to_le_bytes());
    known[4..8].copy_from_slice(&processor.to_le_bytes());
    for (at, argument) in arguments.iter().enumerate() {
        known[16 + 8 * at..24 + 8 * at].copy_from_slice(&argument.to_le_bytes());
    }
    let (mut at, mut register) = (0_usize, 0_u32);
    loop {
        let instruction = &program[at];
        let (k, taken) = (instruction.k, |yes: bool| usize::from(if yes { instruction.jt } else { instruction.jf }));
        at += 1 + match instruction.code {
            0x20 => {
                let place = k as usize;
                register = u32::from_le_bytes([known[place], known[place + 1], known[place + 2], known[place + 3]]);
                0
            }
            0x54 => {
                register &= k;
                0
            }
            0x05 => k as usize,
            0x15 => taken(register == k),
            0x25 => taken(register > k),
            0x35 => taken(register >= k),
            0x06 => return k,
            other => panic!("no instruction {other:#x}"),
        };
    }
}

#[cfg(target_arch = "x86_64")]
const THIS: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const THIS: u32 = 0xc000_00b7;

const ALLOW: u32 = 0x7fff_0000;
const EPERM: u32 = 0x0005_0001;
const ENOSYS: u32 = 0x0005_0026;

fn about(program: &BpfProgram, name: &str, arguments: [u64; 6]) -> u32 {
    let number = Sysno::from_str(name).expect("a call").id();
    verdict(program, THIS, u32::try_from(number).expect("a number"), arguments)
}

fn default_with(capabilities: &[&str]) -> BpfProgram {
    bpf::compile(&default::rules(&capabilities.iter().map(ToString::to_string).collect())).expect("a filter")
}

fn from(profile: &str) -> BpfProgram {
    bpf::compile(&read(profile).expect("JSON").rules(&BTreeSet::new()).expect("a profile")).expect("a filter")
}

#[test]
fn the_default_allows_what_programs_do_and_refuses_what_reaches_the_machine() {
    let program = default_with(&[]);
    for name in ["read", "execve", "openat", "mmap", "futex", "ptrace", "statx", "wait4", "exit_group"] {
        assert_eq!(about(&program, name, [0; 6]), ALLOW, "{name}");
    }
    for name in [
        "mount",
        "reboot",
        "init_module",
        "bpf",
        "keyctl",
        "add_key",
        "kexec_load",
        "unshare",
        "setns",
        "io_uring_setup",
        "open_by_handle_at",
        "perf_event_open",
        "swapon",
        "settimeofday",
        "userfaultfd",
    ] {
        assert_eq!(about(&program, name, [0; 6]), EPERM, "{name}");
    }
    assert_eq!(about(&program, "clone3", [0; 6]), ENOSYS);
}

#[test]
fn the_default_looks_at_arguments() {
    let program = default_with(&[]);
    assert_eq!(about(&program, "clone", [0x0010_0011, 0, 0, 0, 0, 0]), ALLOW);
    assert_eq!(about(&program, "clone", [0x1000_0000, 0, 0, 0, 0, 0]), EPERM);
    assert_eq!(about(&program, "socket", [2, 1, 0, 0, 0, 0]), ALLOW);
    assert_eq!(about(&program, "socket", [40, 1, 0, 0, 0, 0]), EPERM);
    assert_eq!(about(&program, "personality", [0xffff_ffff, 0, 0, 0, 0, 0]), ALLOW);
    assert_eq!(about(&program, "personality", [0x0040_0000, 0, 0, 0, 0, 0]), EPERM);
}

#[test]
fn a_capability_brings_the_calls_that_it_is_about() {
    let program = default_with(&["CAP_SYS_ADMIN", "CAP_SYS_CHROOT"]);
    for name in ["mount", "clone3", "unshare", "chroot"] {
        assert_eq!(about(&program, name, [0; 6]), ALLOW, "{name}");
    }
    assert_eq!(about(&program, "clone", [0x1000_0000, 0, 0, 0, 0, 0]), ALLOW);
    assert_eq!(about(&program, "reboot", [0; 6]), EPERM);
}

#[test]
fn another_processors_calls_end_the_process() {
    let program = default_with(&[]);
    assert_eq!(verdict(&program, 0x4000_0003, 1, [0; 6]), 0x8000_0000);
    // x32 has numbers of its own beside this processor's.
    assert_eq!(verdict(&program, THIS, 0x4000_0000, [0; 6]), EPERM);
    assert_eq!(verdict(&program, THIS, u32::MAX, [0; 6]), EPERM);
}

#[test]
fn a_profile_in_dockers_format_is_followed() {
    let program = from(
        r#"{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"], "syscalls": [
            {"names": ["chmod", "fchmod", "fchmodat", "no_such_call"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13},
            {"name": "kill", "action": "SCMP_ACT_KILL_PROCESS", "args": [
                {"index": 1, "value": 9, "op": "SCMP_CMP_EQ"}, {"index": 0, "value": 100, "op": "SCMP_CMP_LT"}]},
            {"names": ["ptrace"], "action": "SCMP_ACT_LOG", "includes": {"caps": ["CAP_SYS_PTRACE"]}},
            {"names": ["sync"], "action": "SCMP_ACT_TRAP", "excludes": {"caps": ["CAP_SYS_PTRACE"]}}
        ]}"#,
    );
    assert_eq!(about(&program, "fchmodat", [0; 6]), 0x0005_000d);
    assert_eq!(about(&program, "kill", [99, 9, 0, 0, 0, 0]), 0x8000_0000);
    assert_eq!(about(&program, "kill", [100, 9, 0, 0, 0, 0]), ALLOW);
    assert_eq!(about(&program, "kill", [1, 15, 0, 0, 0, 0]), ALLOW);
    assert_eq!(about(&program, "ptrace", [0; 6]), ALLOW);
    assert_eq!(about(&program, "sync", [0; 6]), 0x0003_0000);
}

#[test]
fn arguments_are_compared_in_all_their_bits() {
    let large = 0x1_0000_0005_u64;
    for (operator, holds, fails) in [
        ("EQ", [large, large], [5, large + 1]),
        ("NE", [5, large + 1], [large, large]),
        ("GT", [large + 1, 0x2_0000_0000], [large, 6]),
        ("GE", [large, 0x2_0000_0000], [large - 1, 6]),
        ("LT", [large - 1, 6], [large, 0x2_0000_0000]),
        ("LE", [large, 6], [large + 1, 0x2_0000_0000]),
    ] {
        let program = from(&format!(
            r#"{{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{{"names": ["lseek"], "action": "SCMP_ACT_ALLOW",
                "args": [{{"index": 2, "value": {large}, "op": "SCMP_CMP_{operator}"}}]}}]}}"#
        ));
        for value in holds {
            assert_eq!(about(&program, "lseek", [0, 0, value, 0, 0, 0]), ALLOW, "{value:#x} {operator}");
        }
        for value in fails {
            assert_eq!(about(&program, "lseek", [0, 0, value, 0, 0, 0]), EPERM, "{value:#x} {operator}");
        }
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    for profile in [
        "nonsense",
        r#"{"defaultAction": "SCMP_ACT_DANCE"}"#,
        r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["kill"], "action": "SCMP_ACT_NOTIFY"}]}"#,
        r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["kill"], "action": "SCMP_ACT_LOG",
            "args": [{"index": 6, "value": 0, "op": "SCMP_CMP_EQ"}]}]}"#,
    ] {
        let refused = check(profile).expect_err(profile).to_string();
        assert!(refused.starts_with("Decoding seccomp profile failed: "), "{refused}");
    }
    let many =
        r#"{"names": ["kill"], "action": "SCMP_ACT_LOG", "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}]},"#;
    let long =
        format!(r#"{{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{}]}}"#, many.repeat(2000).trim_end_matches(','));
    assert!(check(&long).expect_err("too long").to_string().contains("of which the kernel takes 4096"));
}

#[test]
fn who_is_unconfined_has_no_filter() {
    assert_eq!(filter(&Seccomp::Unconfined, None), Ok(None));
    assert!(filter(&Seccomp::Default, None).is_ok_and(|program| program.is_some()));
}
