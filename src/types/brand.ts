/** A nominal type over a primitive: `Term` and `LogIndex` are both numbers, but not each other. */
declare const brand: unique symbol;
export type Brand<T, Name extends string> = T & { readonly [brand]: Name };
