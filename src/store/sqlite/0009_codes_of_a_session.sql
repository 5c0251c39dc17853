-- A session has few codes at a time, which is seen to when it gets one.
CREATE INDEX login_codes_of_session ON login_codes (session_id);
