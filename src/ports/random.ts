/** A seeded source of randomness, handed in (R5). */
export interface Random {
  /** Uniform integer in [0, bound); `bound` is a positive safe integer. */
  below(bound: number): number;
}
