interface ImportMetaEnv {
  /** The gateway's address, fixed when the page is built. */
  readonly VITE_HEADGATE_TARGET?: string;
}
