/** `quorate recovery` and `quorate detection`: interrupted runs, and what is watched so that they are found. */
import type { Command } from 'commander';
import type { Detection, PhaseRef, Recovery, RecoveryDetails, RecoveryEffect } from '../../client/client.ts';
import { addConsistencyOption, type ConsistencyOption, readOptions } from '../consistency.ts';
import { parseCount, run, type Shell, withClient } from '../context.ts';
import { EXIT } from '../exit-codes.ts';
import { formatTime, type Output, table } from '../output.ts';
import { formatMicros, roughDuration } from '../units.ts';

export function recoveryStateText(out: Output, { state, result, waiting }: Recovery): string {
  if (result === 'ROLLED_FORWARD' || result === 'ROLLED_BACK') return out.paint('green', `${state} ${result}`);
  if (state === 'HARD_FAILED') return out.paint('red', state);
  if (state === 'BLOCKED_COMPENSATOR') return out.paint('red', state);
  return out.paint('yellow', waiting === null ? state : `${state} (waits: ${waiting})`);
}

const nameOf = ({ loop, g, phase }: PhaseRef): string => `${loop} ${g} ${phase}`;

function listText(recoveries: readonly Recovery[]): string {
  if (recoveries.length === 0) return 'no run was interrupted';
  const rows = recoveries.map((one) => [
    one.ref.loop,
    one.ref.g,
    one.ref.phase,
    one.waiting === null ? one.state : `${one.state} waits`,
    one.step ?? '',
    one.cause,
    one.result ?? '',
    formatTime(one.detectedAtMs),
    one.traceId,
  ]);
  return table(['LOOP', 'ROUND', 'PHASE', 'STATE', 'STEP', 'CAUSE', 'RESULT', 'DETECTED', 'TRACE'], rows);
}

/** What has to happen for it to go on; '' when it is over. */
export function waitsFor({ recovery, autoAttempts, autoAttemptsMax, blockedUntilMs, timeMs }: RecoveryDetails): string {
  const { state, waiting, effectSeq, tries, nextTryAtMs, lastError, step } = recovery;
  const trace = recovery.traceId === '' ? 'TRACE_ID' : recovery.traceId;
  const decide = `quorate override resume|abort|force-rollback ${trace}`;
  if (waiting === 'AUTO_ATTEMPTS') {
    return `a supervisor: ${autoAttempts} of ${autoAttemptsMax} automatic recoveries are used up; ${decide}`;
  }
  if (waiting !== null) return `a supervisor: ${waiting} stopped automation of the trace; ${decide}`;
  const why = lastError === '' ? '' : ` (${lastError})`;
  switch (state) {
    case 'BLOCKED_COMPENSATOR': {
      const left = blockedUntilMs === null ? 'later' : `in ${roughDuration(blockedUntilMs - timeMs)}`;
      return `the compensator of effect ${effectSeq ?? '?'}, which failed ${tries} times${why}; HARD_FAILED ${left}; mend it, then quorate override resume ${trace}`;
    }
    case 'HARD_FAILED':
      return `nothing: the barrier has passed it; once the compensator is mended: quorate override resume ${trace}`;
    case 'ROLLBACK':
      if (nextTryAtMs === null || effectSeq === null) return `the leader: ${step ?? 'ROLLBACK'}`;
      return `try ${tries + 1} of the compensator of effect ${effectSeq}, in ${roughDuration(nextTryAtMs - timeMs)}${why}`;
    case 'INTERRUPTED':
    case 'RECONCILE':
      return `the leader: ${step ?? 'to begin'}`;
    default:
      return '';
  }
}

function stepRows({ recovery, timeMs }: RecoveryDetails): (string | number)[][] {
  const done = recovery.steps.map(({ step, startedAtMs, finishedAtMs }) => [
    step,
    formatTime(startedAtMs),
    formatTime(finishedAtMs),
    roughDuration(finishedAtMs - startedAtMs),
  ]);
  const { step, stepStartedAtMs, result } = recovery;
  if (step === null || result !== null || stepStartedAtMs === null) return done;
  return [...done, [step, formatTime(stepStartedAtMs), '–', roughDuration(timeMs - stepStartedAtMs)]];
}

function effectRow(one: RecoveryEffect): (string | number)[] {
  const { kind, target } = one.compensator;
  const { seq, key, state, description } = one;
  return [seq, key, state, `${kind} ${target}`, formatTime(one.settledAtMs), formatMicros(one.costMicros), description];
}

function detailsText(out: Output, details: RecoveryDetails): string {
  const { recovery, effects, cost, autoAttempts, autoAttemptsMax } = details;
  const latency =
    recovery.faultAtMs === null ? '' : `, ${roughDuration(recovery.detectedAtMs - recovery.faultAtMs)} after the fault`;
  const cause = `${recovery.cause}${recovery.detail === '' ? '' : `: ${recovery.detail}`}`;
  const limit = cost.limitMicros === null ? '' : `, the limit is ${formatMicros(cost.limitMicros)}`;
  const capped = cost.capped === null ? '' : `; automation stopped: ${cost.capped}${limit}`;
  const waits = waitsFor(details);
  const facts = [
    ['cause', cause],
    ['attempt', String(recovery.attempt)],
    ['detected', `${formatTime(recovery.detectedAtMs)}${latency}`],
    ['finished', formatTime(recovery.finishedAtMs)],
    ['waits for', waits === '' ? '–' : waits],
    ['automatic', `${autoAttempts} of ${autoAttemptsMax} recoveries`],
    ['cost so far', `${formatMicros(cost.spentMicros)} by ${cost.effects} effects${capped}`],
    ['trace', recovery.traceId === '' ? '–' : recovery.traceId],
    ['issue', recovery.issue === 0 ? '–' : `${recovery.issue} (quorate issue show ${recovery.issue})`],
    ['fencing token', String(recovery.token)],
  ];
  const steps = stepRows(details);
  return [
    `${out.paint('bold', nameOf(recovery.ref))}  ${recoveryStateText(out, recovery)}`,
    ...facts.map(([name = '', value = '']) => `  ${name.padEnd(14)}${value}`),
    steps.length === 0 ? 'no step was done yet' : table(['STEP', 'STARTED', 'FINISHED', 'TOOK'], steps),
    effects.length === 0
      ? 'no effects'
      : table(['EFFECT', 'KEY', 'STATE', 'COMPENSATOR', 'SETTLED', 'COST', 'DESCRIPTION'], effects.map(effectRow)),
  ].join('\n');
}

function detectionText(out: Output, loop: string, { phases, kMilli, running, timeMs }: Detection): string {
  const rows = phases.map((one) => [
    one.phase,
    one.samples,
    roughDuration(one.meanMs),
    roughDuration(one.deviationMs),
    roughDuration(one.p95Ms),
    roughDuration(one.timeoutMs),
    one.slaMs === 0 ? '–' : roughDuration(one.slaMs),
  ]);
  const attempts = running.map((one) => {
    const due = one.dueAtMs === null ? null : one.dueAtMs - timeMs;
    return [
      one.ref.phase,
      one.attempt,
      one.caller,
      roughDuration(timeMs - one.startedAtMs),
      due === null ? '–' : due >= 0 ? `in ${roughDuration(due)}` : `${roughDuration(-due)} ago`,
      one.phi.toFixed(2),
      one.participants.length === 0 ? '' : `${one.finished.length}/${one.participants.length} finished`,
    ];
  });
  return [
    `${out.paint('bold', loop)}  timeout = ${kMilli / 1_000} × P95`,
    table(['PHASE', 'SAMPLES', 'MEAN', 'DEVIATION', 'P95', 'TIMEOUT', 'SLA'], rows),
    attempts.length === 0
      ? 'no attempt is watched'
      : table(['RUNNING', 'ATTEMPT', 'CALLER', 'SINCE', 'OVERDUE', 'PHI', 'PARTICIPANTS'], attempts),
  ].join('\n');
}

export function addRecoveryCommands(program: Command, shell: Shell): void {
  const recovery = program.command('recovery').description('interrupted runs, and what becomes of them');
  addConsistencyOption(recovery.command('list').description('the newest recovery of each run that is kept'))
    .option('--loop <name>', 'only of this loop')
    .option('--open', 'only those that are not over', false)
    .addHelpText('after', '\nExample:\n  quorate recovery list --open')
    .action((options: ConsistencyOption & { loop?: string; open: boolean }, command: Command) =>
      run(shell, command, async (context) => {
        const found: Recovery[] = [];
        const { loop, open: openOnly } = options;
        await withClient(context, async ({ recoveries }) => {
          const wanted = { ...readOptions(context, options), ...(loop === undefined ? {} : { loop }), openOnly };
          for await (const one of recoveries.list(wanted)) {
            if (context.out.json) context.out.result(one, '');
            found.push(one);
          }
        });
        context.out.line(listText(found));
        return EXIT.ok;
      }),
    );
  addConsistencyOption(recovery.command('show').description('steps, effects and cost of one recovery'))
    .argument('<loop>')
    .argument('<g>', 'round', parseCount)
    .argument('<phase>')
    .addHelpText('after', '\nExample:\n  quorate recovery show nightly 3 CONSTRUCT')
    .action((loop: string, g: number, phase: string, options: ConsistencyOption, command: Command) =>
      run(shell, command, async (context) => {
        const reading = readOptions(context, options);
        const details = await withClient(context, ({ recoveries }) => recoveries.get({ loop, g, phase }, reading));
        context.out.result(details, detailsText(context.out, details));
        return EXIT.ok;
      }),
    );
  addConsistencyOption(program.command('detection').description('how long the phases of a loop may take'))
    .argument('<loop>')
    .addHelpText('after', '\nExample:\n  quorate detection nightly')
    .action((loop: string, options: ConsistencyOption, command: Command) =>
      run(shell, command, async (context) => {
        const reading = readOptions(context, options);
        const detection = await withClient(context, ({ recoveries }) => recoveries.detection(loop, reading));
        context.out.result({ loop, ...detection }, detectionText(context.out, loop, detection));
        return EXIT.ok;
      }),
    );
}
