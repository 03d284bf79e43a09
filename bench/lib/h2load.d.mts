/** For the tests that use it. */
export interface LoadResult {
  readonly seconds: number;
  readonly done: number;
  readonly dataBytes: number;
  readonly rate: number;
  readonly mean: number;
  readonly p50: number;
  readonly p99: number;
}

export declare function understand(output: string, log: string): LoadResult;
export declare function parseShape(text: string): {
  readonly text: string;
  readonly connections: number;
  readonly streams: number;
};
