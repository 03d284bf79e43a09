/**
 * The command line: `npm run model -- [--minutes M] [--depth N] [--scope NAME] [--members N] [--states N]
 * [--no-symmetry] [--json]`. See README.md.
 */
import { parseArgs } from 'node:util';
import { Explorer, type Outcome, type Progress } from './explore.ts';
import { SCOPES, type Scope } from './scopes.ts';

const STATES_MAX = 60_000_000;

function number(text: string, what: string): number {
  const value = Number(text);
  if (!(value > 0)) throw new Error(`--${what}: more than 0, not ${text}`);
  return value;
}

function line({ depth, states, transitions, computed, frontier, tookMs }: Progress): string {
  const count = (value: number, width: number): string => value.toLocaleString('en').padStart(width);
  const rate = Math.round((transitions / Math.max(tookMs, 1)) * 1000);
  return `depth ${String(depth).padStart(3)}  states ${count(states, 11)}  next ${count(frontier, 10)}  transitions ${count(transitions, 12)}  core calls ${count(computed, 9)}  ${(tookMs / 1000).toFixed(1).padStart(6)} s  ${count(rate, 9)}/s`;
}

function chosenScopes(names: readonly string[], members: string | undefined): Scope[] {
  const unknown = names.find((name) => !SCOPES.some((scope) => scope.name === name));
  if (unknown !== undefined)
    throw new Error(`no scope ${unknown}; there are ${SCOPES.map(({ name }) => name).join(', ')}`);
  const chosen = names.length === 0 ? SCOPES : SCOPES.filter(({ name }) => names.includes(name));
  if (members === undefined) return [...chosen];
  const count = number(members, 'members');
  if (!Number.isInteger(count) || count < 2 || count > 5) throw new Error('--members: 2 to 5');
  return chosen.map((scope) => ({ ...scope, members: count, founders: count + scope.founders - scope.members }));
}

function main(): void {
  const { values } = parseArgs({
    options: {
      minutes: { type: 'string', default: '10' },
      depth: { type: 'string', default: '1000' },
      states: { type: 'string', default: String(STATES_MAX) },
      members: { type: 'string' },
      scope: { type: 'string', multiple: true, default: [] },
      'no-symmetry': { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
    },
  });
  const scopes = chosenScopes(values.scope, values.members);
  const endMs = performance.now() + number(values.minutes, 'minutes') * 60_000;
  const depthMax = number(values.depth, 'depth');
  const statesMax = number(values.states, 'states');
  const outcomes: Outcome[] = [];
  for (const [at, scope] of scopes.entries()) {
    // What one scope does not need is there for those after it.
    const untilMs = performance.now() + (endMs - performance.now()) / (scopes.length - at);
    if (!values.json) console.log(`\n${scope.name}: ${scope.what}`);
    const outcome = new Explorer(scope, !values['no-symmetry']).run({ depthMax, untilMs, statesMax }, (progress) => {
      if (!values.json) console.log(line(progress));
    });
    outcomes.push(outcome);
    if (!values.json) printOutcome(outcome);
    if (outcome.broken !== null) break;
  }
  if (values.json) console.log(JSON.stringify({ outcomes }));
  else printTable(outcomes);
  process.exitCode = outcomes.some(({ broken }) => broken !== null) ? 1 : 0;
}

function printOutcome(outcome: Outcome): void {
  const { broken, ended, depth } = outcome;
  if (broken !== null) {
    console.log(`\nBROKEN after ${broken.path.length} steps: ${broken.rule}`);
    for (const [at, step] of broken.path.entries()) console.log(`${String(at + 1).padStart(4)}. ${step}`);
  } else if (ended === 'complete') console.log('no further states: the scope is exhausted');
  else console.log(`every state up to depth ${depth}; the next depth was begun (${ended})`);
}

function printTable(outcomes: readonly Outcome[]): void {
  console.log();
  for (const outcome of outcomes) {
    const { scope, ended, symmetries } = outcome;
    console.log(`${scope.padEnd(12)} ${ended.padEnd(9)} ${line(outcome)}  symmetries ${symmetries}`);
  }
}

try {
  main();
} catch (error) {
  // What is wrong with an option says so in one line.
  const isOption = error instanceof Error && (error.message.startsWith('--') || 'code' in error);
  console.error(error instanceof Error && !isOption ? error.stack : (error as Error).message);
  process.exitCode = 2;
}
