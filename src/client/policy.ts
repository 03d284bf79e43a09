/** The numbers that decide when the cluster acts by itself. */
import { PolicyService } from '../gen/quorate/v1/policy_pb.ts';
import { fromConsistency, toNumber } from './convert.ts';
import type { Reader } from './reader.ts';
import type { ReadOptions } from './types.ts';

export interface PolicySetting {
  /** Those that end in Ms are milliseconds, those in Milli thousandths, those in Max counts. */
  readonly name: string;
  readonly value: number;
  readonly defaultValue: number;
  readonly min: number;
  readonly max: number;
  /** null: it was never set, the default holds. */
  readonly changedRevision: number | null;
}

export class PolicyReader {
  readonly #reader: Reader;

  constructor(reader: Reader) {
    this.#reader = reader;
  }

  /** All of them, by name. `setPolicy` of a session changes them. */
  async get(options?: ReadOptions): Promise<readonly PolicySetting[]> {
    const response = await this.#reader.read(PolicyService.method.getPolicy, fromConsistency(options), options);
    return response.settings.map(({ name, value, defaultValue, min, max, changedRevision }) => ({
      name,
      value: toNumber(value),
      defaultValue: toNumber(defaultValue),
      min: toNumber(min),
      max: toNumber(max),
      changedRevision: changedRevision === 0n ? null : toNumber(changedRevision),
    }));
  }
}
