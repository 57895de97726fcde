/** What was read or given is not as it must be. Who knows file and place, or whose option it is, makes an error of it. */
export class Problem extends Error {}
