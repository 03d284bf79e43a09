/** `--consistency`, for every command that reads. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import type { Consistency, ReadOptions } from '../client/client.ts';
import { type Context, parseDuration } from './context.ts';

export interface ConsistencyOption {
  readonly consistency: Consistency;
}

function parseConsistency(text: string): Consistency {
  if (text === 'linearizable' || text === 'lease' || text === 'stale') return text;
  try {
    return { maxStalenessMs: parseDuration(text) };
  } catch {
    throw new InvalidArgumentError('Give linearizable, lease, stale, or how old it may be, such as 500ms or 5s.');
  }
}

export function addConsistencyOption(command: Command): Command {
  return command.addOption(
    new Option('--consistency <how>', 'linearizable, lease, stale, or how old it may be: 500ms, 5s')
      .argParser(parseConsistency)
      .default('linearizable'),
  );
}

export function readOptions({ shell }: Context, { consistency }: ConsistencyOption): ReadOptions {
  return { signal: shell.signal, consistency };
}
