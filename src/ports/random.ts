/** A seeded source of randomness, handed in (R5). */
/** What the system's source can draw from in one go. */
export const RANDOM_BOUND_MAX = 2 ** 48;

export interface Random {
  /** Uniform integer in [0, bound); `bound` is a positive integer below {@link RANDOM_BOUND_MAX}. */
  below(bound: number): number;
}
