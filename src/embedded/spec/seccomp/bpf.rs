//! Rules → a program for the kernel.
//!
//! The program looks at the processor, then at the number of the call. Calls about which the same is done without a
//! condition are one comparison for each run of numbers; one with conditions has a block of its own.

use std::collections::{BTreeMap, HashMap};

use seccompiler::{BpfProgram, sock_filter};
use syscalls::Sysno;

use super::super::super::error::Error;
use super::{Action, Comparison, Condition, Rule, Rules};

/// More instructions the kernel does not take.
const LONGEST: usize = 4096;

// Classes and modes of instructions.
const LOAD: u16 = 0x20;
const AND: u16 = 0x54;
const JUMP: u16 = 0x05;
const EQUAL: u16 = 0x15;
const GREATER: u16 = 0x25;
const GREATER_OR_EQUAL: u16 = 0x35;
const RETURN: u16 = 0x06;

// Where the kernel puts what is known of a call.
const NUMBER: u32 = 0;
const PROCESSOR: u32 = 4;
const ARGUMENTS: u32 = 16;

/// The kernel's name for this kind of processor.
#[cfg(target_arch = "x86_64")]
const THIS: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const THIS: u32 = 0xc000_00b7;
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
compile_error!("the numbers of this processor's system calls are not known");

/// Translates them.
pub(super) fn compile(rules: &Rules) -> Result<BpfProgram, Error> {
    let mut program = vec![
        statement(LOAD, PROCESSOR),
        jump(EQUAL, THIS, 1, 0),
        statement(RETURN, Action::KILL_PROCESS.0),
        statement(LOAD, NUMBER),
    ];
    let calls = by_number(rules);
    let mut run: Option<(u32, u32, Action)> = None;
    for (number, chain) in &calls {
        let simple = match chain.as_slice() {
            [(conditions, action)] if conditions.is_empty() => Some(*action),
            _ => None,
        };
        run = match (run, simple) {
            (Some((first, last, action)), Some(same)) if last + 1 == *number && action == same => {
                Some((first, *number, action))
            }
            (before, simple) => {
                program.extend(before.into_iter().flat_map(|run| several(run, rules.default)));
                simple.map(|action| (*number, *number, action))
            }
        };
        if simple.is_none() {
            one(&mut program, *number, chain, rules.default)?;
        }
    }
    program.extend(run.into_iter().flat_map(|run| several(run, rules.default)));
    program.push(statement(RETURN, rules.default.0));
    if program.len() > LONGEST {
        return Err(Error::Invalid(format!(
            "the seccomp profile becomes {} instructions, of which the kernel takes {LONGEST}",
            program.len()
        )));
    }
    Ok(program)
}

type Chain = Vec<(Vec<Condition>, Action)>;

/// What is done about each call, in the order in which it is to be tried: what has no condition comes last, and nothing
/// after it.
fn by_number(rules: &Rules) -> BTreeMap<u32, Chain> {
    let numbers: HashMap<&str, u32> =
        Sysno::iter().filter_map(|call| Some((call.name(), u32::try_from(call.id()).ok()?))).collect();
    let mut calls: BTreeMap<u32, Chain> = BTreeMap::new();
    for Rule { name, conditions, action } in &rules.rules {
        if let Some(number) = numbers.get(name.as_str()) {
            calls.entry(*number).or_default().push((conditions.clone(), *action));
        }
    }
    for chain in calls.values_mut() {
        chain.sort_by_key(|(conditions, _)| conditions.is_empty());
        if let Some(at) = chain.iter().position(|(conditions, _)| conditions.is_empty()) {
            chain.truncate(at + 1);
            let last = chain[at].1;
            if chain.iter().all(|(_, action)| *action == last) {
                chain.drain(..at);
            }
        }
    }
    calls
}

/// A run of calls without conditions. The numbers come in order: one that lies before it is in no rule.
fn several((first, last, action): (u32, u32, Action), default: Action) -> [sock_filter; 4] {
    [
        jump(GREATER_OR_EQUAL, first, 0, 2),
        jump(GREATER, last, 2, 0),
        statement(RETURN, action.0),
        statement(RETURN, default.0),
    ]
}

/// A call with conditions.
fn one(program: &mut BpfProgram, number: u32, chain: &Chain, default: Action) -> Result<(), Error> {
    let mut block = Vec::new();
    for (conditions, action) in chain {
        block.extend(rule(conditions, *action)?);
    }
    block.push(statement(RETURN, default.0));
    let length = u32::try_from(block.len()).unwrap_or(u32::MAX);
    program.push(jump(EQUAL, number, 1, 0));
    program.push(statement(JUMP, length));
    program.extend(block);
    Ok(())
}

/// Where an instruction goes on.
#[derive(Debug, Clone, Copy)]
enum To {
    /// The one after it.
    Next,
    /// After the condition: it holds.
    Holds,
    /// After the rule: the condition does not.
    Fails,
}

/// Conditions that all hold, then what is done. A rule that does not apply goes on behind it.
fn rule(conditions: &[Condition], action: Action) -> Result<Vec<sock_filter>, Error> {
    let parts: Vec<_> = conditions.iter().map(condition).collect();
    let whole: usize = parts.iter().map(Vec::len).sum::<usize>() + 1;
    let mut program = Vec::with_capacity(whole);
    for part in parts {
        let end = program.len() + part.len();
        for (mut instruction, yes, no) in part {
            let next = program.len() + 1;
            let offset = |to: To| {
                let target = match to {
                    To::Next => next,
                    To::Holds => end,
                    To::Fails => whole,
                };
                u8::try_from(target - next)
                    .map_err(|_| Error::Invalid("a rule of the seccomp profile has too many conditions".into()))
            };
            (instruction.jt, instruction.jf) = (offset(yes)?, offset(no)?);
            program.push(instruction);
        }
    }
    program.push(statement(RETURN, action.0));
    Ok(program)
}

/// A comparison of 64 bits by a processor of 32: the upper half first.
fn condition(condition: &Condition) -> Vec<(sock_filter, To, To)> {
    let at = ARGUMENTS + 8 * u32::from(condition.argument);
    let (upper, lower) = halves(condition.value);
    let load = |offset: u32| (statement(LOAD, offset), To::Next, To::Next);
    let compare = |code: u16, value: u32, yes: To, no: To| (jump(code, value, 0, 0), yes, no);
    // Little-endian, as both processors are: the upper half lies behind.
    let (upper_at, lower_at) = (at + 4, at);
    let ordered = |upper_greater: To, upper_less: To, code: u16, yes: To, no: To| {
        vec![
            load(upper_at),
            compare(GREATER, upper, upper_greater, To::Next),
            compare(EQUAL, upper, To::Next, upper_less),
            load(lower_at),
            compare(code, lower, yes, no),
        ]
    };
    match condition.comparison {
        Comparison::Equal => vec![
            load(upper_at),
            compare(EQUAL, upper, To::Next, To::Fails),
            load(lower_at),
            compare(EQUAL, lower, To::Holds, To::Fails),
        ],
        Comparison::NotEqual => vec![
            load(upper_at),
            compare(EQUAL, upper, To::Next, To::Holds),
            load(lower_at),
            compare(EQUAL, lower, To::Fails, To::Holds),
        ],
        Comparison::Greater => ordered(To::Holds, To::Fails, GREATER, To::Holds, To::Fails),
        Comparison::GreaterOrEqual => ordered(To::Holds, To::Fails, GREATER_OR_EQUAL, To::Holds, To::Fails),
        Comparison::Less => ordered(To::Fails, To::Holds, GREATER_OR_EQUAL, To::Fails, To::Holds),
        Comparison::LessOrEqual => ordered(To::Fails, To::Holds, GREATER, To::Fails, To::Holds),
        Comparison::Masked(mask) => {
            let (mask_upper, mask_lower) = halves(mask);
            let and = |mask: u32| (statement(AND, mask), To::Next, To::Next);
            vec![
                load(upper_at),
                and(mask_upper),
                compare(EQUAL, upper & mask_upper, To::Next, To::Fails),
                load(lower_at),
                and(mask_lower),
                compare(EQUAL, lower & mask_lower, To::Holds, To::Fails),
            ]
        }
    }
}

fn halves(value: u64) -> (u32, u32) {
    let lower = u32::try_from(value & u64::from(u32::MAX)).expect("it has 32 bits");
    (u32::try_from(value >> 32).expect("it has 32 bits"), lower)
}

fn statement(code: u16, k: u32) -> sock_filter {
    sock_filter { code, jt: 0, jf: 0, k }
}

fn jump(code: u16, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { code, jt, jf, k }
}
