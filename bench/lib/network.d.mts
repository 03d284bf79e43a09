/** For the tests that use it: machines on this machine. */
export declare class Network {
  /** `subnet`: the first three numbers of a /24 of private addresses. */
  constructor(count: number, subnet?: string);
  readonly bridge: string;
  namespace(i: number): string;
  address(i: number): string;
  /** Throws when it may not, or when a tool is missing; `down` takes away what there is by then. */
  up(): void;
  isolate(i: number): void;
  cut(side: readonly number[], other: readonly number[]): void;
  heal(): void;
  /** Never throws. */
  down(): void;
}
