/** The command line of `npm run bench`. */
import { parseArgs } from 'node:util';

const RUNS_DEFAULT = 5;

export class UsageError extends Error {}

export function help(names) {
  return `Measures what is in dist/ on this machine, beside another system if wanted: npm run bench -- [OPTION…]

  --suite LIST   suites, with commas between them; without it all of them:
                 ${names.join(', ')}
  --peer etcd    the same for etcd, the two in turn
  --runs N       runs of each figure, ${RUNS_DEFAULT} without it (failover: 20 losses of each kind)
  --json FILE    everything that was measured, as JSON
  --record       adds a line for each figure to bench/results.ndjson
  --quick        a few seconds for each suite, to see that it works; its figures say nothing
  --data DIR     where the members write: a folder on the disk that is to be measured; without it the system's for temporary files
  --help         this text

bench/report.html shows the last run. bench/README.md says what is measured, and what is not.`;
}

/** @returns what was asked for; throws {@link UsageError} */
export function readOptions(args, names) {
  let values;
  try {
    ({ values } = parseArgs({
      args,
      options: {
        suite: { type: 'string' },
        peer: { type: 'string' },
        runs: { type: 'string' },
        json: { type: 'string' },
        data: { type: 'string' },
        record: { type: 'boolean', default: false },
        quick: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    }));
  } catch (error) {
    throw new UsageError(error.message);
  }
  const suites = values.suite?.split(',') ?? names;
  const unknown = suites.find((name) => !names.includes(name));
  if (unknown !== undefined)
    throw new UsageError(`--suite: there is no suite "${unknown}"; there are ${names.join(', ')}`);
  if (values.peer !== undefined && values.peer !== 'etcd')
    throw new UsageError(`--peer: only etcd, not ${values.peer}`);
  if (values.runs !== undefined && !/^[1-9]\d{0,3}$/.test(values.runs))
    throw new UsageError(`--runs: a whole number from 1 to 9999, not ${values.runs}`);
  for (const name of ['json', 'data']) if (values[name] === '') throw new UsageError(`--${name} needs a value`);
  if (values.record && values.quick) throw new UsageError('--record keeps no figures of a quick run');
  const runs = values.runs === undefined ? (values.quick ? 1 : RUNS_DEFAULT) : Number(values.runs);
  // In the order in which they run, each once.
  return { ...values, suites: names.filter((name) => suites.includes(name)), runs };
}
