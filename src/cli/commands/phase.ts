/** `quorate phase`: begin, progress, finished, commit, abort, interrupt, show. */
import { Command } from 'commander';
import type { PhaseRef, QuorateClient } from '../../client/client.ts';
import { addConsistencyOption, type ConsistencyOption, readOptions } from '../consistency.ts';
import { parseCount, run, type Shell, withClient, withSession } from '../context.ts';
import { EXIT, UsageError } from '../exit-codes.ts';
import { formatTime, table } from '../output.ts';
import { stateText } from './loop.ts';

interface RefOptions {
  readonly g?: number;
  readonly traceId?: string;
}

interface TokenOptions extends RefOptions {
  readonly token: number;
}

interface InterruptOptions extends RefOptions {
  readonly attempt?: number;
  readonly detail: string;
}

interface BeginOptions extends RefOptions {
  readonly supersede?: number;
  readonly participant: readonly string[];
}

interface ProgressOptions extends TokenOptions {
  readonly completed?: number;
  readonly total?: number;
  readonly note?: string;
  readonly checkpoint?: string;
  readonly participant?: string;
  readonly subStep: readonly { readonly id: string; readonly result: string }[];
}

/** The run that is meant; without --g, in the loop's open round. */
async function refOf(
  client: QuorateClient,
  run: { readonly loop: string; readonly phase: string; readonly g: number | undefined },
  signal: AbortSignal,
): Promise<PhaseRef> {
  const { loop, phase, g } = run;
  return { loop, phase, g: g ?? (await client.getLoop(loop, { signal })).loop.g };
}

function phaseCommand(name: string, description: string, example: string): Command {
  return new Command(name)
    .description(description)
    .argument('<loop>')
    .argument('<phase>')
    .option('--g <round>', 'round; default: the open one', parseCount)
    .option('--trace-id <id>', 'correlates everything that belongs to one piece of work')
    .addHelpText('after', `\nExample:\n  ${example}`);
}

function withToken(command: Command): Command {
  return command.requiredOption('--token <token>', 'fencing token that begin answered with', parseCount);
}

function traceOf(options: RefOptions): { traceId?: string } {
  return options.traceId === undefined ? {} : { traceId: options.traceId };
}

function beginCommand(shell: Shell): Command {
  const example = 'TOKEN=$(quorate phase begin nightly ANALYZE --json | jq .token)';
  return phaseCommand('begin', 'begin a phase, or take it over; prints attempt and fencing token', example)
    .option('--supersede <attempt>', 'take over from this attempt, which loses its token', parseCount)
    .option('--participant <name>', 'who has to report finished; may be given several times', collectName, [])
    .action((loop: string, phase: string, options: BeginOptions, command: Command) =>
      run(shell, command, async (context) => {
        const answer = await withSession(context, async (session, client) => {
          const ref = await refOf(client, { loop, phase, g: options.g }, shell.signal);
          const { supersede: supersedeAttempt = 0, participant: participants } = options;
          const more = { supersedeAttempt, participants, signal: shell.signal };
          const begun = await session.beginPhase(ref, { ...traceOf(options), ...more });
          return { ...ref, ...begun };
        });
        const kept = answer.subStepsDone === 0 ? '' : `, ${answer.subStepsDone} sub-steps done already`;
        context.out.result(
          answer,
          `begun ${loop} ${answer.g} ${phase}: attempt ${answer.attempt}, token ${answer.token}${kept}`,
        );
        return EXIT.ok;
      }),
    );
}

function collectName(name: string, before: readonly string[]): readonly string[] {
  return [...before, name];
}

type SubSteps = ProgressOptions['subStep'];

function collectSubStep(text: string, before: SubSteps): SubSteps {
  const at = text.indexOf('=');
  return [...before, at === -1 ? { id: text, result: '' } : { id: text.slice(0, at), result: text.slice(at + 1) }];
}

function progressCommand(shell: Shell): Command {
  const example = 'quorate phase progress nightly CONSTRUCT --token 42 --completed 3 --total 9 --sub-step a.txt=ok';
  return withToken(phaseCommand('progress', 'record progress, finished sub-steps and a checkpoint', example))
    .option('--completed <n>', 'units done', parseCount)
    .option('--total <n>', 'units planned', parseCount)
    .option('--note <text>')
    .option('--checkpoint <text>', 'what a later attempt needs to go on')
    .option('--participant <name>', 'who of the participants tells it; default: the caller')
    .option('--sub-step <id[=result]>', 'a finished sub-step; may be given several times', collectSubStep, [])
    .action((loop: string, phase: string, options: ProgressOptions, command: Command) =>
      run(shell, command, async (context) => {
        const { token, completed, total, note, checkpoint, participant, subStep } = options;
        if (completed !== undefined && total === undefined) {
          throw new UsageError('--total is missing: --completed says how many units of it are done; give both');
        }
        const report = {
          ...(completed === undefined ? {} : { completed }),
          ...(total === undefined ? {} : { total }),
          ...(note === undefined ? {} : { note }),
          ...(checkpoint === undefined ? {} : { checkpoint }),
          ...(participant === undefined ? {} : { participant }),
          subSteps: subStep,
        };
        const answer = await withSession(context, async (session, client) => {
          const ref = await refOf(client, { loop, phase, g: options.g }, shell.signal);
          return session.reportProgress(ref, token, report, { ...traceOf(options), signal: shell.signal });
        });
        const knownCount = subStep.length - answer.subStepsRecorded;
        const known = knownCount === 0 ? '' : `, ${knownCount} known already`;
        context.out.result(
          answer,
          `recorded ${answer.subStepsRecorded} sub-steps${known}, revision ${answer.revision}`,
        );
        return EXIT.ok;
      }),
    );
}

function commitCommand(shell: Shell): Command {
  const example = 'quorate phase commit nightly ANALYZE --token "$TOKEN" --result "12 files"';
  return withToken(phaseCommand('commit', 'end the phase as done', example))
    .option('--result <text>', 'kept with the run', '')
    .action((loop: string, phase: string, options: TokenOptions & { result: string }, command: Command) =>
      run(shell, command, async (context) => {
        const answer = await withSession(context, async (session, client) => {
          const ref = await refOf(client, { loop, phase, g: options.g }, shell.signal);
          const { token, result } = options;
          return session.commitPhase(ref, token, { ...traceOf(options), result, signal: shell.signal });
        });
        context.out.result(answer, `committed ${loop} ${phase}; the open round is ${answer.nextG}`);
        return EXIT.ok;
      }),
    );
}

function abortCommand(shell: Shell): Command {
  const example = 'quorate phase abort nightly CONSTRUCT --token 42 --reason "disk full"';
  return withToken(phaseCommand('abort', 'give the attempt up; the phase may be begun again', example))
    .option('--reason <text>', 'kept with the run', '')
    .option('--hard-fail', 'end the run for good: it counts as final for the barrier', false)
    .action(
      (loop: string, phase: string, options: TokenOptions & { reason: string; hardFail: boolean }, command: Command) =>
        run(shell, command, async (context) => {
          const answer = await withSession(context, async (session, client) => {
            const ref = await refOf(client, { loop, phase, g: options.g }, shell.signal);
            const { token, reason, hardFail } = options;
            return session.abortPhase(ref, token, { ...traceOf(options), reason, hardFail, signal: shell.signal });
          });
          const where = `${loop} ${options.g ?? answer.nextG} ${phase}`;
          const undone = `aborted ${loop} ${phase}; what it leaves behind is undone: quorate recovery show ${where}`;
          const text = `aborted ${loop} ${phase}; the open round is ${answer.nextG}`;
          context.out.result(answer, answer.rollingBack ? undone : text);
          return EXIT.ok;
        }),
    );
}

function finishedCommand(shell: Shell): Command {
  const example = 'quorate phase finished nightly CONSTRUCT --token 42 --participant builder-2';
  return withToken(phaseCommand('finished', 'one of the participants has finished its part', example))
    .option('--participant <name>', 'one of those that begin named; default: the caller')
    .action((loop: string, phase: string, options: TokenOptions & { participant?: string }, command: Command) =>
      run(shell, command, async (context) => {
        const answer = await withSession(context, async (session, client) => {
          const ref = await refOf(client, { loop, phase, g: options.g }, shell.signal);
          const { token, participant = '' } = options;
          return session.reportFinished(ref, token, { ...traceOf(options), participant, signal: shell.signal });
        });
        context.out.result(answer, `${answer.finished} of ${answer.participants} have finished ${loop} ${phase}`);
        return EXIT.ok;
      }),
    );
}

function interruptCommand(shell: Shell): Command {
  const example = 'quorate phase interrupt nightly CONSTRUCT --detail "the agent hangs"';
  return phaseCommand('interrupt', 'the running attempt is stuck: take its token away and begin a recovery', example)
    .option('--attempt <n>', 'only if this one runs; default: whichever does', parseCount)
    .option('--detail <text>', 'why, for people', '')
    .action((loop: string, phase: string, options: InterruptOptions, command: Command) =>
      run(shell, command, async (context) => {
        const answer = await withSession(context, async (session, client) => {
          const { signal } = shell;
          const ref = await refOf(client, { loop, phase, g: options.g }, signal);
          const attempt = options.attempt ?? (await client.getPhaseRun(ref, { signal })).run.attempt;
          if (attempt === 0)
            throw new UsageError(`${loop} ${ref.g} ${phase} was never begun: there is nothing to interrupt`);
          const more = { detail: options.detail, signal };
          return { ...ref, attempt, ...(await session.interruptPhase(ref, attempt, { ...traceOf(options), ...more })) };
        });
        const { g, waiting } = answer;
        const then = waiting ? 'its recovery waits for a supervisor' : 'its recovery begins';
        const look = `quorate recovery show ${loop} ${g} ${phase}`;
        context.out.result(answer, `interrupted attempt ${answer.attempt} at ${loop} ${g} ${phase}; ${then} (${look})`);
        return EXIT.ok;
      }),
    );
}

function showCommand(shell: Shell): Command {
  return addConsistencyOption(
    phaseCommand('show', 'show a run and its attempts', 'quorate phase show nightly CONSTRUCT --sub-steps'),
  )
    .option('--sub-steps', 'list the recorded sub-steps too', false)
    .action(
      (
        loop: string,
        phase: string,
        options: RefOptions & ConsistencyOption & { subSteps: boolean },
        command: Command,
      ) =>
        run(shell, command, async (context) => {
          const { out } = context;
          const reading = readOptions(context, options);
          await withClient(context, async (client) => {
            const ref = await refOf(client, { loop, phase, g: options.g }, shell.signal);
            const { run: one, attempts } = await client.getPhaseRun(ref, reading);
            const subSteps = [];
            if (options.subSteps) {
              for await (const step of client.listSubSteps(ref, reading)) subSteps.push(step);
            }
            const rows = attempts.map((a) => [
              a.attempt,
              a.state,
              a.caller,
              formatTime(a.startedAtMs),
              formatTime(a.finishedAtMs),
            ]);
            const lines = [
              `${out.paint('bold', `${loop} ${ref.g} ${phase}`)}  ${stateText(out, one.state)}  ${one.completed}/${one.total}  ${one.subStepsDone} sub-steps  ${one.note}`,
              table(['ATTEMPT', 'STATE', 'CALLER', 'STARTED', 'FINISHED'], rows),
              ...(options.subSteps
                ? [
                    table(
                      ['SUB-STEP', 'ATTEMPT', 'RESULT'],
                      subSteps.map((s) => [s.id, s.attempt, s.result]),
                    ),
                  ]
                : []),
            ];
            out.result({ run: one, attempts, ...(options.subSteps ? { subSteps } : {}) }, lines.join('\n'));
          });
          return EXIT.ok;
        }),
    );
}

export function addPhaseCommands(program: Command, shell: Shell): void {
  const phase = program.command('phase').description('phase runs: begin, report, end');
  phase.addCommand(beginCommand(shell));
  phase.addCommand(progressCommand(shell));
  phase.addCommand(finishedCommand(shell));
  phase.addCommand(commitCommand(shell));
  phase.addCommand(abortCommand(shell));
  phase.addCommand(interruptCommand(shell));
  phase.addCommand(showCommand(shell));
}
