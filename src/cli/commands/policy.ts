/** `quorate policy`: the numbers that decide when the cluster acts by itself. */
import { type Command, InvalidArgumentError } from 'commander';
import type { PolicySetting } from '../../client/client.ts';
import { addConsistencyOption, type ConsistencyOption, readOptions } from '../consistency.ts';
import { run, type Shell, withClient, withSession } from '../context.ts';
import { EXIT, UsageError } from '../exit-codes.ts';
import { table } from '../output.ts';
import { durationOf, formatDuration } from '../units.ts';

const HOW = 'Write NAME=VALUE, such as heartbeatMs=15s, kMilli=1200 or autoAttemptsMax=3.';

/** A plain number, or a duration for names that end in Ms. */
export function parseSetting(text: string): readonly [name: string, value: number] {
  const [, name = '', value = ''] = /^([A-Za-z]\w*)=(\S+)$/.exec(text) ?? [];
  const isTime = name.endsWith('Ms');
  const number = /^\d+$/.test(value) ? Number(value) : isTime ? durationOf(value) : null;
  if (number === null || !Number.isSafeInteger(number)) {
    const durations = isTime ? ' Durations are such as 250ms, 15s, 30m, 1.5h or 90d.' : '';
    throw new InvalidArgumentError(`${HOW}${durations}`);
  }
  return [name, number];
}

function collect(text: string, before: Readonly<Record<string, number>> = {}): Readonly<Record<string, number>> {
  const [name, value] = parseSetting(text);
  if (Object.hasOwn(before, name)) throw new InvalidArgumentError(`${name} is set twice; set each name once.`);
  return { ...before, [name]: value };
}

const shown = (name: string, value: number): string => (name.endsWith('Ms') ? formatDuration(value) : String(value));

function policyText(settings: readonly PolicySetting[]): string {
  const rows = settings.map(({ name, value, defaultValue, min, max, changedRevision }) => [
    name,
    shown(name, value),
    shown(name, defaultValue),
    `${shown(name, min)} – ${shown(name, max)}`,
    changedRevision === null ? '' : `set at revision ${changedRevision}`,
  ]);
  return table(['NAME', 'VALUE', 'DEFAULT', 'RANGE', 'CHANGED'], rows);
}

export function addPolicyCommands(program: Command, shell: Shell): void {
  const policy = program.command('policy').description('numbers that decide when the cluster acts by itself');
  addConsistencyOption(policy.command('get').description('all of them, or one'))
    .argument('[name]', 'one of them')
    .addHelpText('after', '\nExamples:\n  quorate policy get\n  quorate policy get kMilli --json')
    .action((name: string | undefined, options: ConsistencyOption, command: Command) =>
      run(shell, command, async (context) => {
        const all = await withClient(context, (client) => client.policy.get(readOptions(context, options)));
        const settings = name === undefined ? all : all.filter((one) => one.name === name);
        if (settings.length === 0) {
          throw new UsageError(`there is no ${name} in the policy; one of ${all.map((one) => one.name).join(', ')}`);
        }
        context.out.result({ settings }, policyText(settings));
        return EXIT.ok;
      }),
    );
  policy
    .command('set')
    .description('set some of them, all or none')
    .argument('<values...>', 'NAME=VALUE; durations such as 15s, 30m or 90d', collect)
    .addHelpText(
      'after',
      `
They hold for the whole cluster from then on, without a restart. kMilli is k of the adaptive timeout in thousandths: 1600 is
normal, 1200 strict, 2000 for development.

Examples:
  quorate policy set kMilli=1200
  quorate policy set heartbeatMs=5s heartbeatMissesMax=2`,
    )
    .action((values: Readonly<Record<string, number>>, _options: object, command: Command) =>
      run(shell, command, async (context) => {
        const { signal } = shell;
        const answer = await withSession(context, (session) => session.setPolicy(values, { signal }));
        const text = Object.entries(values).map(([name, value]) => `${name} = ${shown(name, value)}`);
        context.out.result({ values, ...answer }, `set ${text.join(', ')}`);
        return EXIT.ok;
      }),
    );
}
