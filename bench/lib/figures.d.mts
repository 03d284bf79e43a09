/** For the tests that use it. */
export interface Summary {
  readonly median: number;
  readonly min: number;
  readonly max: number;
  readonly runs: number;
}

export interface Row {
  readonly figure: string;
  readonly unit: string;
  readonly values: readonly (Summary | null)[];
  readonly ratio: number | null;
  readonly target: string | null;
  readonly reached: number | null;
  readonly met: boolean | null;
}

export declare class Samples {
  add(system: string, figure: string, value: number): void;
}

export declare function rowsOf(samples: Samples, systems: readonly string[]): readonly Row[];
